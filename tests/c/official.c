// SPDX-License-Identifier: Apache-2.0
// Send, push and pull against the reference's own servers, at the name server in KEROLOX_OFFICIAL_NAMESRV.
#include "check.h"

enum { MESSAGES = 50 };

int main(void) {
    const char *address = getenv("KEROLOX_OFFICIAL_NAMESRV");
    if (address == NULL || *address == 0) {
        printf("SKIPPED official: KEROLOX_OFFICIAL_NAMESRV names no name server\n");
        return 0;
    }
    klx_str_t servers = klx_str(address);
    char topic[64], push_group[80], pull_group[80];
    snprintf(topic, sizeof topic, "c-official-%lld", (long long)time(NULL));
    snprintf(push_group, sizeof push_group, "%s-push", topic);
    snprintf(pull_group, sizeof pull_group, "%s-pull", topic);
    create_topic(servers, topic, 2);
    passed("create a topic");

    klx_producer_t *producer = start_producer(servers);
    for (int i = 0; i < MESSAGES; i++) {
        char body[32];
        snprintf(body, sizeof body, "%d", i);
        klx_message_t *message = klx_message_new(klx_str(topic), klx_str(body));
        OK(klx_message_set_tag(message, i % 2 == 0 ? KLX_STR("even") : KLX_STR("odd"), &err));
        klx_send_result_t *result = NULL;
        OK(klx_producer_send(producer, message, -1, &result, &err));
        CHECK(klx_send_result_status(result) == KLX_SEND_OK);
        klx_send_result_free(result);
        klx_message_free(message);
    }
    klx_producer_free(producer);
    passed("send");

    bool seen[MESSAGES] = {false};
    klx_push_consumer_t *push = start_push(servers, push_group, topic, "even");
    int64_t deadline = now_ms() + 2 * PATIENCE_MS;
    for (int got = 0; got < MESSAGES / 2;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        OK(klx_push_consumer_poll(push, 32, 500, &batch, &err));
        for (size_t i = 0; i < klx_batch_count(batch); i++, got++) {
            char text[8] = "";
            klx_str_t body = klx_batch_body(batch, i);
            CHECK(body.len < sizeof text);
            memcpy(text, body.ptr, body.len);
            int number = atoi(text);
            CHECK(number >= 0 && number < MESSAGES && number % 2 == 0 && !seen[number]);
            seen[number] = true;
            OK(klx_push_consumer_complete(push, klx_batch_delivery_id(batch, i), KLX_VERDICT_SUCCESS, &err));
        }
        klx_batch_free(batch);
    }
    klx_push_consumer_free(push);
    passed("receive by push, filtered by tag");

    klx_pull_consumer_t *pull = start_pull(servers, pull_group);
    read_from_begin(pull, topic);
    for (size_t got = 0; got < MESSAGES;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        OK(klx_pull_consumer_poll(pull, 32, 500, &batch, &err));
        got += klx_batch_count(batch);
        CHECK(got <= MESSAGES);
        klx_batch_free(batch);
    }
    OK(klx_pull_consumer_commit(pull, -1, &err));
    klx_pull_consumer_free(pull);
    passed("receive by pull, commit");
    return 0;
}
