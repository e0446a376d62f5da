// SPDX-License-Identifier: Apache-2.0
// Send, batch, one-way; receive by push and by pull; filter by tags; offsets. All blocking.
#include "check.h"

enum { QUEUES = 2, MESSAGES = 20, BATCH = 6 };

static klx_str_t servers;

static klx_message_t *numbered(const char *topic, int number, const char *tag) {
    char body[32];
    snprintf(body, sizeof body, "message %d", number);
    klx_message_t *message = klx_message_new(klx_str(topic), klx_str(body));
    if (tag != NULL) OK(klx_message_set_tag(message, klx_str(tag), &err));
    return message;
}

static int number_of(const klx_batch_t *batch, size_t index) {
    char text[32] = "";
    klx_str_t body = klx_batch_body(batch, index);
    CHECK(body.len < sizeof text);
    memcpy(text, body.ptr, body.len);
    int number = -1;
    CHECK(sscanf(text, "message %d", &number) == 1 && number >= 0);
    return number;
}

// Polls until `wanted` messages are there; each number comes once.
static void receive_by_push(klx_push_consumer_t *consumer, int wanted, int step) {
    bool seen[MESSAGES + BATCH] = {false};
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (int got = 0; got < wanted;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        klx_completion_t done[8];
        OK(klx_push_consumer_poll(consumer, 8, 500, &batch, &err));
        size_t count = klx_batch_count(batch);
        CHECK(count <= 8);
        for (size_t i = 0; i < count; i++, got++) {
            int number = number_of(batch, i);
            CHECK(number < MESSAGES + BATCH && number % step == 0 && !seen[number]);
            seen[number] = true;
            done[i] = (klx_completion_t){klx_batch_delivery_id(batch, i), KLX_VERDICT_SUCCESS};
        }
        klx_batch_free(batch);
        if (count == 1) {
            OK(klx_push_consumer_complete(consumer, done[0].delivery_id, KLX_VERDICT_SUCCESS, &err));
        } else {
            OK(klx_push_consumer_complete_batch(consumer, done, count, &err));
        }
    }
}

static void sends_and_push_receives(klx_producer_t *producer) {
    const char *topic = "c-push";
    create_topic(servers, topic, QUEUES);
    klx_push_consumer_t *consumer = start_push(servers, "c-push-group", topic, "*");
    for (int i = 0; i < MESSAGES; i++) {
        klx_message_t *message = numbered(topic, i, NULL);
        klx_send_result_t *result = NULL;
        OK(klx_producer_send(producer, message, -1, &result, &err));
        CHECK(klx_send_result_status(result) == KLX_SEND_OK);
        CHECK(klx_str_eq(klx_send_result_topic(result), klx_str(topic)));
        CHECK(klx_send_result_message_id(result).len == 32);
        CHECK(klx_send_result_offset_message_id(result).len == 32);
        CHECK(klx_send_result_broker_name(result).len > 0);
        CHECK(klx_send_result_queue_id(result) >= 0 && klx_send_result_queue_id(result) < QUEUES);
        CHECK(klx_send_result_queue_offset(result) >= 0);
        klx_send_result_free(result);
        klx_message_free(message);
    }
    receive_by_push(consumer, MESSAGES, 1);
    klx_queues_t *assigned = NULL;
    OK(klx_push_consumer_assigned(consumer, &assigned, &err));
    CHECK(klx_queues_count(assigned) == QUEUES);
    CHECK(klx_str_eq(klx_queues_at(assigned, 0).topic, klx_str(topic)));
    CHECK(klx_queues_at(assigned, QUEUES).queue_id == -1);
    klx_queues_free(assigned);
    ENDS_WITH(KLX_ERR_UNKNOWN_DELIVERY,
              klx_push_consumer_complete(consumer, UINT64_MAX, KLX_VERDICT_SUCCESS, &err));
    OK(klx_push_consumer_close(consumer, -1, &err));
    OK(klx_push_consumer_close(consumer, -1, &err));
    klx_batch_t *none = NULL;
    ENDS_WITH(KLX_ERR_CLOSED, klx_push_consumer_poll(consumer, 1, 0, &none, &err));
    CHECK(none == NULL);
    klx_push_consumer_free(consumer);
    passed("send and receive by push");
}

static void offsets_are_committed(klx_producer_t *producer) {
    const char *topic = "c-offsets";
    create_topic(servers, topic, 1);
    klx_queues_t *queues = NULL;
    OK(klx_producer_queues(producer, klx_str(topic), -1, &queues, &err));
    CHECK(klx_queues_count(queues) == 1);
    klx_queue_t queue = klx_queues_at(queues, 0);
    for (int i = 0; i < 5; i++) {
        klx_message_t *message = numbered(topic, i, NULL);
        klx_send_result_t *result = NULL;
        OK(klx_producer_send_to_queue(producer, message, &queue, -1, &result, &err));
        CHECK(klx_send_result_queue_offset(result) == i);
        klx_send_result_free(result);
        klx_message_free(message);
    }
    klx_pull_consumer_t *consumer = start_pull(servers, "c-offsets-group");
    int64_t offset = 0;
    OK(klx_pull_consumer_committed(consumer, &queue, -1, &offset, &err));
    CHECK(offset == -1);
    OK(klx_pull_consumer_min_offset(consumer, &queue, -1, &offset, &err));
    CHECK(offset == 0);
    OK(klx_pull_consumer_max_offset(consumer, &queue, -1, &offset, &err));
    CHECK(offset == 5);
    OK(klx_pull_consumer_offset_by_time(consumer, &queue, 0, -1, &offset, &err));
    CHECK(offset == 0);
    OK(klx_pull_consumer_assign(consumer, &queue, 1, &err));
    OK(klx_pull_consumer_seek(consumer, &queue, 3, -1, &err));
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (int next = 3; next < 5;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        OK(klx_pull_consumer_poll(consumer, 1, 500, &batch, &err));
        CHECK(klx_batch_count(batch) <= 1 && klx_batch_delivery_id(batch, 0) == 0);
        if (klx_batch_count(batch) == 1) {
            CHECK(klx_batch_queue_offset(batch, 0) == next && number_of(batch, 0) == next);
            next++;
        }
        klx_batch_free(batch);
    }
    OK(klx_pull_consumer_commit(consumer, -1, &err));
    OK(klx_pull_consumer_committed(consumer, &queue, -1, &offset, &err));
    CHECK(offset == 5);
    klx_batch_t *batch = NULL;
    OK(klx_pull_consumer_seek_to_end(consumer, &queue, -1, &err));
    OK(klx_pull_consumer_poll(consumer, 1, 50, &batch, &err));
    CHECK(batch != NULL && klx_batch_count(batch) == 0);
    klx_batch_free(batch);
    OK(klx_pull_consumer_close(consumer, -1, &err));
    klx_pull_consumer_free(consumer);
    klx_queues_free(queues);
    passed("offsets of a pull consumer");
}

static void everything_of_a_message_arrives(klx_producer_t *producer) {
    const char *topic = "c-whole";
    create_topic(servers, topic, 1);
    klx_str_t bytes = klx_bytes("a\0b\xff", 4);
    klx_message_t *message = klx_message_new(klx_str(topic), bytes);
    OK(klx_message_set_tag(message, KLX_STR("t"), &err));
    OK(klx_message_add_key(message, KLX_STR("k1"), &err));
    OK(klx_message_add_key(message, KLX_STR("k2"), &err));
    OK(klx_message_set_property(message, KLX_STR("p"), KLX_STR("old"), &err));
    OK(klx_message_set_property(message, KLX_STR("p"), KLX_STR("gr\xc3\xbcn"), &err));
    OK(klx_message_set_flag(message, -7, &err));
    klx_send_result_t *result = NULL;
    OK(klx_producer_send(producer, message, -1, &result, &err));
    klx_message_free(message);

    klx_pull_consumer_t *consumer = start_pull(servers, "c-whole-group");
    read_from_begin(consumer, topic);
    klx_batch_t *batch = NULL;
    OK(klx_pull_consumer_poll(consumer, 10, PATIENCE_MS, &batch, &err));
    CHECK(klx_batch_count(batch) == 1);
    CHECK(klx_str_eq(klx_batch_body(batch, 0), bytes));
    CHECK(klx_str_eq(klx_batch_topic(batch, 0), klx_str(topic)));
    CHECK(klx_str_eq(klx_batch_tag(batch, 0), KLX_STR("t")));
    CHECK(klx_batch_key_count(batch, 0) == 2);
    CHECK(klx_str_eq(klx_batch_key(batch, 0, 1), KLX_STR("k2")));
    CHECK(klx_batch_key(batch, 0, 2).ptr == NULL);
    CHECK(klx_str_eq(klx_batch_property(batch, 0, KLX_STR("p")), KLX_STR("gr\xc3\xbcn")));
    CHECK(klx_batch_property(batch, 0, KLX_STR("absent")).ptr == NULL);
    bool listed = false;
    for (size_t i = 0; i < klx_batch_property_count(batch, 0); i++) {
        listed = listed || (klx_str_eq(klx_batch_property_name(batch, 0, i), KLX_STR("p")) &&
                            klx_batch_property_value(batch, 0, i).len == 5);
    }
    CHECK(listed);
    CHECK(klx_batch_flag(batch, 0) == -7 && klx_batch_reconsume_times(batch, 0) == 0);
    CHECK(klx_str_eq(klx_batch_message_id(batch, 0), klx_send_result_message_id(result)));
    CHECK(klx_str_eq(klx_batch_offset_message_id(batch, 0), klx_send_result_offset_message_id(result)));
    CHECK(klx_str_eq(klx_batch_broker_name(batch, 0), klx_send_result_broker_name(result)));
    CHECK(klx_batch_queue_id(batch, 0) == 0 && klx_batch_queue_offset(batch, 0) == 0);
    CHECK(klx_batch_physical_offset(batch, 0) >= 0);
    CHECK(klx_batch_born_timestamp_ms(batch, 0) > 0);
    CHECK(klx_batch_store_timestamp_ms(batch, 0) >= klx_batch_born_timestamp_ms(batch, 0) - 1000);
    CHECK(klx_batch_born_host(batch, 0).len > 0 && klx_batch_store_host(batch, 0).len > 0);
    CHECK(klx_batch_body(batch, 1).ptr == NULL && klx_batch_queue_id(batch, 1) == -1);
    klx_batch_free(batch);
    klx_send_result_free(result);
    klx_pull_consumer_free(consumer);
    passed("every part of a message arrives");
}

static void batch_and_oneway_are_stored(klx_producer_t *producer) {
    const char *topic = "c-batch";
    create_topic(servers, topic, 1);
    klx_message_t *messages[BATCH];
    for (int i = 0; i < BATCH; i++) messages[i] = numbered(topic, i, NULL);
    klx_send_result_t *result = NULL;
    OK(klx_producer_send_batch(producer, (const klx_message_t *const *)messages, BATCH, -1, &result, &err));
    CHECK(klx_send_result_status(result) == KLX_SEND_OK && klx_send_result_queue_offset(result) == 0);
    klx_send_result_free(result);
    for (int i = 0; i < BATCH; i++) klx_message_free(messages[i]);
    klx_message_t *last = numbered(topic, BATCH, NULL);
    OK(klx_producer_send_oneway(producer, last, -1, &err));
    klx_message_free(last);

    klx_pull_consumer_t *consumer = start_pull(servers, "c-batch-group");
    read_from_begin(consumer, topic);
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (int next = 0; next < BATCH + 1;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        OK(klx_pull_consumer_poll(consumer, 32, 500, &batch, &err));
        for (size_t i = 0; i < klx_batch_count(batch); i++, next++) CHECK(number_of(batch, i) == next);
        klx_batch_free(batch);
    }
    klx_pull_consumer_free(consumer);
    passed("batch and one-way");
}

static void tags_filter(klx_producer_t *producer) {
    const char *topic = "c-tags";
    create_topic(servers, topic, QUEUES);
    for (int i = 0; i < MESSAGES; i++) {
        klx_message_t *message = numbered(topic, i, i % 2 == 0 ? "even" : "odd");
        OK(klx_producer_send(producer, message, -1, NULL, &err));
        klx_message_free(message);
    }
    klx_push_consumer_t *push = start_push(servers, "c-tags-push", topic, "even || other");
    receive_by_push(push, MESSAGES / 2, 2);
    klx_push_consumer_free(push);

    klx_pull_consumer_t *pull = start_pull(servers, "c-tags-pull");
    OK(klx_pull_consumer_filter(pull, klx_str(topic), KLX_STR("odd"), &err));
    read_from_begin(pull, topic);
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (int got = 0; got < MESSAGES / 2;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        OK(klx_pull_consumer_poll(pull, 32, 500, &batch, &err));
        for (size_t i = 0; i < klx_batch_count(batch); i++, got++) CHECK(number_of(batch, i) % 2 == 1);
        klx_batch_free(batch);
    }
    klx_pull_consumer_free(pull);
    passed("tags");
}

static void topics_are_listed_and_deleted(void) {
    klx_options_t *options = client_options(servers);
    klx_admin_t *admin = NULL;
    OK(klx_admin_start(options, -1, &admin, &err));
    OK(klx_admin_create_topic(admin, KLX_STR("c-listed"), 3, klx_str(NULL), -1, &err));
    for (int step = 0; step < 2; step++) {
        klx_strings_t *topics = NULL;
        OK(klx_admin_topics(admin, -1, &topics, &err));
        bool listed = false;
        for (size_t i = 0; i < klx_strings_count(topics); i++) {
            listed = listed || klx_str_eq(klx_strings_at(topics, i), KLX_STR("c-listed"));
        }
        CHECK(listed == (step == 0));
        CHECK(klx_strings_at(topics, klx_strings_count(topics)).ptr == NULL);
        klx_strings_free(topics);
        OK(klx_admin_delete_topic(admin, KLX_STR("c-listed"), -1, &err));
    }
    OK(klx_admin_close(admin, -1, &err));
    klx_admin_free(admin);
    klx_options_free(options);
    passed("topics");
}

int main(void) {
    klx_server_t *server = start_server();
    servers = klx_server_namesrv_addr(server);
    klx_producer_t *producer = start_producer(servers);
    sends_and_push_receives(producer);
    offsets_are_committed(producer);
    everything_of_a_message_arrives(producer);
    batch_and_oneway_are_stored(producer);
    tags_filter(producer);
    topics_are_listed_and_deleted();
    OK(klx_producer_close(producer, -1, &err));
    OK(klx_producer_close(producer, -1, &err));
    klx_producer_free(producer);
    OK(klx_server_stop(server, &err));
    OK(klx_server_stop(server, &err));
    klx_server_free(server);
    passed("stop");
    return 0;
}
