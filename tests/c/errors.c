// SPDX-License-Identifier: Apache-2.0
// What is wrong is refused: with the right status, a message, a hint, and within the deadline.
#include "check.h"

static void null_is_refused_or_harmless(void) {
    klx_producer_t *producer = (klx_producer_t *)1;
    klx_message_t *message = klx_message_new(KLX_STR("t"), KLX_STR("b"));
    klx_batch_t *batch = NULL;
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_producer_start(NULL, -1, NULL, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_producer_send(NULL, message, -1, NULL, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_push_consumer_poll(NULL, 1, 0, &batch, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_pull_consumer_commit(NULL, -1, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_admin_create_topic(NULL, KLX_STR("t"), 1, klx_str(NULL), -1, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_message_set_tag(NULL, KLX_STR("t"), &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_message_set_tag(message, klx_bytes(NULL, 3), &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_message_set_tag(message, KLX_STR("\xff"), &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_options_set_int(NULL, KLX_STR("x"), 1, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_server_stop(NULL, &err));
    CHECK(klx_producer_send(NULL, message, -1, NULL, NULL) == KLX_ERR_INVALID_ARGUMENT);

    // A result's place is emptied even if the call fails before it looks at anything else.
    klx_options_t *options = klx_options_new();
    OK(klx_options_set_int(options, KLX_STR("no_such_option"), 1, &err));
    ENDS_WITH(KLX_ERR_UNKNOWN_OPTION, klx_producer_start(options, -1, &producer, &err));
    CHECK(producer == NULL);
    klx_options_free(options);
    klx_message_free(message);

    klx_admin_free(NULL);
    klx_batch_free(NULL);
    klx_error_free(NULL);
    klx_message_free(NULL);
    klx_options_free(NULL);
    klx_producer_free(NULL);
    klx_pull_consumer_free(NULL);
    klx_push_consumer_free(NULL);
    klx_queues_free(NULL);
    klx_send_result_free(NULL);
    klx_server_free(NULL);
    klx_strings_free(NULL);
    CHECK(klx_batch_count(NULL) == 0 && klx_batch_body(NULL, 0).ptr == NULL);
    CHECK(klx_error_code(NULL) == KLX_OK && *klx_error_message(NULL) == 0);
    CHECK(klx_send_result_queue_offset(NULL) == -1 && klx_server_namesrv_addr(NULL).len == 0);
    passed("NULL");
}

static void options_are_checked(void) {
    klx_producer_t *producer = NULL;
    klx_options_t *wrong_kind = klx_options_new();
    OK(klx_options_set_bool(wrong_kind, KLX_STR("send_timeout_ms"), true, &err));
    ENDS_WITH(KLX_ERR_INVALID_OPTION, klx_producer_start(wrong_kind, -1, &producer, &err));
    klx_options_free(wrong_kind);

    klx_options_t *wrong_name = klx_options_new();
    OK(klx_options_set_str(wrong_name, KLX_STR("message_model"), KLX_STR("BROADCAST"), &err));
    klx_subscription_t all = {KLX_STR("t"), KLX_STR("*")};
    klx_push_consumer_t *push = NULL;
    ENDS_WITH(KLX_ERR_INVALID_OPTION, klx_push_consumer_start(wrong_name, &all, 1, -1, &push, &err));
    klx_options_free(wrong_name);

    klx_server_t *server = NULL;
    klx_options_t *unknown = klx_options_new();
    OK(klx_options_set_str(unknown, KLX_STR("listen"), KLX_STR("x"), &err));
    ENDS_WITH(KLX_ERR_UNKNOWN_OPTION, klx_server_start(unknown, &server, &err));
    CHECK(server == NULL);
    klx_options_free(unknown);

    klx_options_t *setting = klx_options_new();
    OK(klx_options_set_str(setting, KLX_STR("broker.flushDiskType"), KLX_STR("SOMETIMES"), &err));
    ENDS_WITH(KLX_ERR_INVALID_OPTION, klx_server_start(setting, &server, &err));
    klx_options_free(setting);

    klx_options_t *nowhere = klx_options_new();
    OK(klx_options_set_str(nowhere, KLX_STR("data_dir"), KLX_STR("/dev/null/kerolox"), &err));
    ENDS_WITH(KLX_ERR_IO, klx_server_start(nowhere, &server, &err));
    CHECK(server == NULL);
    klx_options_free(nowhere);
    passed("options");
}

static void an_unreachable_name_server_fails_in_time(void) {
    // Port 1 of the loopback refuses connections.
    klx_options_t *options = client_options(KLX_STR("127.0.0.1:1"));
    OK(klx_options_set_int(options, KLX_STR("send_timeout_ms"), 1500, &err));
    klx_message_t *message = klx_message_new(KLX_STR("unreachable"), KLX_STR("x"));
    klx_producer_t *producer = NULL;
    int64_t begin = now_ms();
    klx_error_t *err = NULL;
    klx_status_t status = klx_producer_start(options, 5000, &producer, &err);
    if (status == KLX_OK) status = klx_producer_send(producer, message, 5000, NULL, &err);
    int64_t took = now_ms() - begin;
    CHECK(status == KLX_ERR_NAME_SERVER_UNREACHABLE || status == KLX_ERR_CONNECT_FAILED);
    CHECK(klx_error_retryable(err) && strstr(klx_error_message(err), "127.0.0.1:1") != NULL);
    CHECK(took < 5000);
    klx_error_free(err);
    klx_producer_free(producer);
    klx_message_free(message);
    klx_options_free(options);
    passed("unreachable name server");
}

static void messages_are_checked(klx_str_t servers) {
    klx_producer_t *producer = start_producer(servers);
    klx_message_t *topic = klx_message_new(KLX_STR("not/a/topic"), KLX_STR("x"));
    ENDS_WITH(KLX_ERR_INVALID_TOPIC, klx_producer_send(producer, topic, -1, NULL, &err));
    klx_message_t *bytes = klx_message_new(KLX_STR("\xff\xfe"), KLX_STR("x"));
    ENDS_WITH(KLX_ERR_INVALID_TOPIC, klx_producer_send(producer, bytes, -1, NULL, &err));
    klx_message_t *empty = klx_message_new(KLX_STR("c-errors"), KLX_STR(""));
    ENDS_WITH(KLX_ERR_EMPTY_BODY, klx_producer_send(producer, empty, -1, NULL, &err));
    const size_t size = 4 * 1024 * 1024 + 1;
    char *zeros = calloc(1, size);
    CHECK(zeros != NULL);
    klx_message_t *large = klx_message_new(KLX_STR("c-errors"), klx_bytes(zeros, size));
    free(zeros);
    klx_send_result_t *result = NULL;
    ENDS_WITH(KLX_ERR_MESSAGE_TOO_LARGE, klx_producer_send(producer, large, -1, &result, &err));
    CHECK(result == NULL);
    ENDS_WITH(KLX_ERR_INVALID_BATCH, klx_producer_send_batch(producer, NULL, 0, -1, NULL, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_producer_send_batch(producer, NULL, 1, -1, NULL, &err));
    klx_message_t *good = klx_message_new(KLX_STR("c-errors"), KLX_STR("x"));
    OK(klx_producer_close(producer, -1, &err));
    ENDS_WITH(KLX_ERR_CLOSED, klx_producer_send(producer, good, -1, NULL, &err));
    klx_message_t *all[] = {topic, bytes, empty, large, good};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) klx_message_free(all[i]);
    klx_producer_free(producer);
    passed("messages");
}

static void consumers_are_checked(klx_str_t servers) {
    klx_options_t *options = group_options(servers, "c-errors-group");
    klx_push_consumer_t *push = NULL;
    klx_subscription_t bad = {KLX_STR("bad topic"), KLX_STR("*")};
    ENDS_WITH(KLX_ERR_INVALID_TOPIC, klx_push_consumer_start(options, &bad, 1, -1, &push, &err));
    klx_options_t *no_group = client_options(servers);
    klx_subscription_t good = {KLX_STR("c-errors"), KLX_STR("*")};
    ENDS_WITH(KLX_ERR_INVALID_GROUP, klx_push_consumer_start(no_group, &good, 1, -1, &push, &err));
    OK(klx_push_consumer_start(options, &good, 1, -1, &push, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_push_consumer_complete(push, 1, 9, &err));
    klx_push_consumer_free(push);

    klx_pull_consumer_t *pull = start_pull(servers, "c-errors-pull");
    klx_queue_t unassigned = {KLX_STR("c-errors"), KLX_STR("broker"), 0};
    ENDS_WITH(KLX_ERR_QUEUE_NOT_ASSIGNED, klx_pull_consumer_seek(pull, &unassigned, 0, -1, &err));
    klx_batch_t *batch = NULL;
    OK(klx_pull_consumer_poll(pull, 1, 0, &batch, &err));
    CHECK(klx_batch_count(batch) == 0);
    klx_batch_free(batch);
    klx_pull_consumer_free(pull);
    klx_options_free(options);
    klx_options_free(no_group);
    passed("consumers");
}

static void names_are_known(void) {
    CHECK(strcmp(klx_version(), KLX_VERSION) == 0);
    CHECK(strcmp(klx_status_name(KLX_OK), "OK") == 0);
    CHECK(strcmp(klx_status_name(KLX_ERR_WOULD_DEADLOCK), "WOULD_DEADLOCK") == 0);
    CHECK(strcmp(klx_status_name(-1), "UNKNOWN") == 0);
    CHECK(strcmp(klx_send_status_name(KLX_SEND_FLUSH_DISK_TIMEOUT), "FLUSH_DISK_TIMEOUT") == 0);
    passed("names");
}

int main(void) {
    // What the tests say must not depend on the environment.
    unsetenv("NAMESRV_ADDR");
    klx_producer_t *producer = NULL;
    ENDS_WITH(KLX_ERR_NO_NAME_SERVER, klx_producer_start(NULL, -1, &producer, &err));
    names_are_known();
    null_is_refused_or_harmless();
    options_are_checked();
    an_unreachable_name_server_fails_in_time();
    klx_server_t *server = start_server();
    messages_are_checked(klx_server_namesrv_addr(server));
    consumers_are_checked(klx_server_namesrv_addr(server));
    klx_server_free(server);
    return 0;
}
