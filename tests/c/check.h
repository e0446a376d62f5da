// SPDX-License-Identifier: Apache-2.0
// What the test programs share: checks that end the program, waiting with a deadline, starting clients.
#ifndef KEROLOX_TEST_CHECK_H
#define KEROLOX_TEST_CHECK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kerolox.h"

// How long a test waits for what has to happen.
enum { PATIENCE_MS = 30000 };

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);        \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

// The call, which names `&err` as its last argument, ends with the status, and with an error object that tells why.
#define ENDS_WITH(expected, call)                                                          \
    do {                                                                                   \
        klx_error_t *err = NULL;                                                           \
        klx_status_t status = (call);                                                      \
        if (status != (expected) || klx_error_code(err) != status) {                       \
            fprintf(stderr, "%s:%d: %s\n  ended with %s, expected %s: %s (%s)\n", __FILE__, \
                    __LINE__, #call, klx_status_name(status), klx_status_name(expected),   \
                    klx_error_message(err), klx_error_hint(err));                          \
            exit(1);                                                                       \
        }                                                                                  \
        CHECK((status == KLX_OK) == (err == NULL));                                        \
        CHECK(err == NULL || (*klx_error_message(err) != 0 && *klx_error_hint(err) != 0)); \
        klx_error_free(err);                                                               \
    } while (0)

#define OK(call) ENDS_WITH(KLX_OK, call)

static inline int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64_t now_ms(void) { return now_us() / 1000; }

static inline void passed(const char *name) {
    printf("ok %s\n", name);
    fflush(stdout);
}

static inline klx_server_t *start_server(void) {
    klx_server_t *server = NULL;
    OK(klx_server_start(NULL, &server, &err));
    CHECK(klx_server_namesrv_addr(server).len > 0 && klx_server_broker_addr(server).len > 0);
    return server;
}

static inline klx_options_t *client_options(klx_str_t name_servers) {
    klx_options_t *options = klx_options_new();
    OK(klx_options_set_str(options, KLX_STR("name_servers"), name_servers, &err));
    return options;
}

static inline klx_options_t *group_options(klx_str_t name_servers, const char *group) {
    klx_options_t *options = client_options(name_servers);
    OK(klx_options_set_str(options, KLX_STR("group"), klx_str(group), &err));
    return options;
}

static inline klx_producer_t *start_producer(klx_str_t name_servers) {
    klx_options_t *options = client_options(name_servers);
    klx_producer_t *producer = NULL;
    OK(klx_producer_start(options, -1, &producer, &err));
    klx_options_free(options);
    return producer;
}

// A push consumer that begins with the first message.
static inline klx_push_consumer_t *start_push(klx_str_t name_servers, const char *group,
                                              const char *topic, const char *expression) {
    klx_options_t *options = group_options(name_servers, group);
    OK(klx_options_set_str(options, KLX_STR("consume_from"), KLX_STR("FIRST_OFFSET"), &err));
    klx_subscription_t wanted = {klx_str(topic), klx_str(expression)};
    klx_push_consumer_t *consumer = NULL;
    OK(klx_push_consumer_start(options, &wanted, 1, -1, &consumer, &err));
    klx_options_free(options);
    return consumer;
}

// A pull consumer without automatic commits.
static inline klx_pull_consumer_t *start_pull(klx_str_t name_servers, const char *group) {
    klx_options_t *options = group_options(name_servers, group);
    OK(klx_options_set_bool(options, KLX_STR("auto_commit"), false, &err));
    klx_pull_consumer_t *consumer = NULL;
    OK(klx_pull_consumer_start(options, -1, &consumer, &err));
    klx_options_free(options);
    return consumer;
}

static inline void create_topic(klx_str_t name_servers, const char *topic, int queues) {
    klx_options_t *options = client_options(name_servers);
    klx_admin_t *admin = NULL;
    OK(klx_admin_start(options, -1, &admin, &err));
    OK(klx_admin_create_topic(admin, klx_str(topic), queues, klx_str(NULL), -1, &err));
    klx_admin_free(admin);
    klx_options_free(options);
}

// Makes a pull consumer read all queues of a topic from their beginnings.
static inline void read_from_begin(klx_pull_consumer_t *consumer, const char *topic) {
    klx_queues_t *queues = NULL;
    OK(klx_pull_consumer_queues(consumer, klx_str(topic), -1, &queues, &err));
    size_t count = klx_queues_count(queues);
    klx_queue_t *all = calloc(count, sizeof *all);
    CHECK(count > 0 && all != NULL);
    for (size_t i = 0; i < count; i++) all[i] = klx_queues_at(queues, i);
    OK(klx_pull_consumer_assign(consumer, all, count, &err));
    for (size_t i = 0; i < count; i++) OK(klx_pull_consumer_seek_to_begin(consumer, &all[i], -1, &err));
    free(all);
    klx_queues_free(queues);
}

#endif
