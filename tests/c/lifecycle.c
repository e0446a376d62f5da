// SPDX-License-Identifier: Apache-2.0
// Everything that is made is used once and freed: short enough for valgrind.
#include "check.h"

#include <stdatomic.h>

static atomic_int called;

static void on_sent(void *user_data, klx_status_t status, klx_send_result_t *result, klx_error_t *err) {
    (void)user_data;
    CHECK(status == KLX_OK);
    klx_send_result_free(result);
    klx_error_free(err);
    atomic_fetch_add(&called, 1);
}

int main(void) {
    const char *topic = "c-lifecycle";
    klx_server_t *server = start_server();
    klx_str_t servers = klx_server_namesrv_addr(server);
    create_topic(servers, topic, 1);
    klx_producer_t *producer = start_producer(servers);
    klx_message_t *message = klx_message_new(klx_str(topic), KLX_STR("x"));
    OK(klx_message_set_tag(message, KLX_STR("t"), &err));
    OK(klx_message_add_key(message, KLX_STR("k"), &err));
    OK(klx_message_set_property(message, KLX_STR("p"), KLX_STR("v"), &err));
    klx_send_result_t *result = NULL;
    OK(klx_producer_send(producer, message, -1, &result, &err));
    klx_send_result_free(result);
    const klx_message_t *two[] = {message, message};
    OK(klx_producer_send_batch(producer, two, 2, -1, NULL, &err));
    OK(klx_producer_send_async(producer, message, on_sent, NULL, &err));

    klx_push_consumer_t *push = start_push(servers, "c-lifecycle-push", topic, "t");
    klx_pull_consumer_t *pull = start_pull(servers, "c-lifecycle-pull");
    read_from_begin(pull, topic);
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (size_t pushed = 0, pulled = 0; pushed < 4 || pulled < 4;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        OK(klx_push_consumer_poll(push, 4, 200, &batch, &err));
        for (size_t i = 0; i < klx_batch_count(batch); i++, pushed++) {
            OK(klx_push_consumer_complete(push, klx_batch_delivery_id(batch, i), KLX_VERDICT_SUCCESS, &err));
        }
        klx_batch_free(batch);
        OK(klx_pull_consumer_poll(pull, 4, 200, &batch, &err));
        pulled += klx_batch_count(batch);
        klx_batch_free(batch);
    }
    CHECK(atomic_load(&called) == 1);
    klx_queue_t unassigned = {klx_str(topic), KLX_STR("nowhere"), 0};
    ENDS_WITH(KLX_ERR_QUEUE_NOT_ASSIGNED, klx_pull_consumer_seek(pull, &unassigned, 0, -1, &err));

    klx_message_free(message);
    klx_pull_consumer_free(pull);
    klx_push_consumer_free(push);
    klx_producer_free(producer);
    OK(klx_server_stop(server, &err));
    klx_server_free(server);
    passed("lifecycle");
    return 0;
}
