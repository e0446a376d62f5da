// SPDX-License-Identifier: Apache-2.0
// How long a lone blocking send takes, and how many sends with callbacks and messages of polls a second there are.
// Usage: rate [SENDS [IN_FLIGHT]]; the server runs in the same process.
#include "../check.h"

#include <semaphore.h>

static sem_t room;

static void on_sent(void *user_data, klx_status_t status, klx_send_result_t *result, klx_error_t *err) {
    (void)user_data;
    CHECK(status == KLX_OK);
    klx_send_result_free(result);
    klx_error_free(err);
    sem_post(&room);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int sends = argc > 1 ? atoi(argv[1]) : 20000;
    int in_flight = argc > 2 ? atoi(argv[2]) : 1000;
    CHECK(sends > 0 && in_flight > 0);
    klx_server_t *server = start_server();
    klx_str_t servers = klx_server_namesrv_addr(server);
    create_topic(servers, "c-rate", 4);
    klx_producer_t *producer = start_producer(servers);
    char body[128];
    memset(body, 'x', sizeof body);
    klx_message_t *message = klx_message_new(KLX_STR("c-rate"), klx_bytes(body, sizeof body));

    int lone = sends / 10 + 1;
    int64_t *took = calloc((size_t)lone, sizeof *took);
    CHECK(took != NULL);
    for (int i = 0; i < lone; i++) {
        int64_t begin = now_us();
        OK(klx_producer_send(producer, message, -1, NULL, &err));
        took[i] = now_us() - begin;
    }
    qsort(took, (size_t)lone, sizeof *took, by_value);
    printf("lone send: p50 %lld us, p99 %lld us\n", (long long)took[lone / 2], (long long)took[lone * 99 / 100]);
    free(took);

    CHECK(sem_init(&room, 0, (unsigned)in_flight) == 0);
    int64_t begin = now_us();
    for (int i = 0; i < sends; i++) {
        sem_wait(&room);
        OK(klx_producer_send_async(producer, message, on_sent, NULL, &err));
    }
    for (int i = 0; i < in_flight; i++) sem_wait(&room);
    double seconds = (double)(now_us() - begin) / 1e6;
    printf("callback sends: %.0f/s, %d in flight\n", sends / seconds, in_flight);

    klx_pull_consumer_t *pull = start_pull(servers, "c-rate-group");
    read_from_begin(pull, "c-rate");
    begin = now_us();
    for (int got = 0; got < sends;) {
        klx_batch_t *batch = NULL;
        OK(klx_pull_consumer_poll(pull, 1000, 1000, &batch, &err));
        for (size_t i = 0; i < klx_batch_count(batch); i++, got++) CHECK(klx_batch_body(batch, i).len == sizeof body);
        klx_batch_free(batch);
    }
    seconds = (double)(now_us() - begin) / 1e6;
    printf("polled messages: %.0f/s\n", sends / seconds);
    klx_pull_consumer_free(pull);
    klx_message_free(message);
    klx_producer_free(producer);
    klx_server_free(server);
    return 0;
}
