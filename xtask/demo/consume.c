// SPDX-License-Identifier: Apache-2.0
// A member of the demo's group: prints the number and checksum of every line it gets, until its standard input ends.
// Usage: consume NAME_SERVERS TOPIC GROUP
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kerolox.h"

enum { MAX_BATCH = 256 };

static void check(klx_status_t status, klx_error_t *err) {
    if (status != KLX_OK) {
        fprintf(stderr, "%s\nhint: %s\n", klx_error_message(err), klx_error_hint(err));
        klx_error_free(err);
        exit(1);
    }
}

static uint32_t crc32(klx_str_t bytes) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.ptr[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

static bool input_has_ended(void) {
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    char ignored[64];
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0;
}

static klx_push_consumer_t *start(const char *name_servers, const char *topic, const char *group) {
    klx_error_t *err = NULL;
    klx_options_t *options = klx_options_new();
    check(klx_options_set_str(options, KLX_STR("name_servers"), klx_str(name_servers), &err), err);
    check(klx_options_set_str(options, KLX_STR("group"), klx_str(group), &err), err);
    check(klx_options_set_str(options, KLX_STR("consume_from"), KLX_STR("FIRST_OFFSET"), &err), err);
    klx_subscription_t everything = {klx_str(topic), KLX_STR("*")};
    klx_push_consumer_t *consumer = NULL;
    check(klx_push_consumer_start(options, &everything, 1, -1, &consumer, &err), err);
    klx_options_free(options);
    return consumer;
}

static void report_queues(const klx_push_consumer_t *consumer, size_t *known) {
    klx_error_t *err = NULL;
    klx_queues_t *queues = NULL;
    check(klx_push_consumer_assigned(consumer, &queues, &err), err);
    size_t count = klx_queues_count(queues);
    klx_queues_free(queues);
    if (count != *known) printf("assigned %zu\n", count);
    *known = count;
}

static void consume(const klx_push_consumer_t *consumer) {
    klx_error_t *err = NULL;
    klx_batch_t *batch = NULL;
    klx_completion_t done[MAX_BATCH];
    check(klx_push_consumer_poll(consumer, MAX_BATCH, 100, &batch, &err), err);
    size_t count = klx_batch_count(batch);
    for (size_t i = 0; i < count; i++) {
        klx_str_t number = klx_batch_property(batch, i, KLX_STR("line"));
        uint32_t crc = crc32(klx_batch_body(batch, i));
        printf("%s %.*s:%08" PRIx32, i == 0 ? "lines" : "", (int)number.len, number.ptr, crc);
        done[i].delivery_id = klx_batch_delivery_id(batch, i);
        done[i].verdict = KLX_VERDICT_SUCCESS;
    }
    if (count > 0) {
        printf("\n");
        check(klx_push_consumer_complete_batch(consumer, done, count, &err), err);
    }
    klx_batch_free(batch);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: consume NAME_SERVERS TOPIC GROUP\n");
        return 2;
    }
    klx_push_consumer_t *consumer = start(argv[1], argv[2], argv[3]);
    size_t queues = SIZE_MAX;
    while (!input_has_ended()) {
        report_queues(consumer, &queues);
        consume(consumer);
        fflush(stdout);
    }
    klx_error_t *err = NULL;
    check(klx_push_consumer_close(consumer, -1, &err), err);
    klx_push_consumer_free(consumer);
    return 0;
}
