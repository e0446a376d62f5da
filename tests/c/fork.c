// SPDX-License-Identifier: Apache-2.0
// After fork() the child's copies of clients refuse and may be freed, new ones work, and the parent goes on.
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

static klx_message_t *message;

static void on_sent(void *user_data, klx_status_t status, klx_send_result_t *result, klx_error_t *err) {
    klx_send_result_free(result);
    klx_error_free(err);
    char byte = status == KLX_ERR_FORKED ? 'f' : '?';
    CHECK(write(*(int *)user_data, &byte, 1) == 1);
}

static void child(klx_server_t *server, klx_producer_t *producer, klx_push_consumer_t *push, klx_pull_consumer_t *pull) {
    klx_batch_t *batch = NULL;
    ENDS_WITH(KLX_ERR_FORKED, klx_producer_send(producer, message, -1, NULL, &err));
    ENDS_WITH(KLX_ERR_FORKED, klx_producer_send_oneway(producer, message, -1, &err));
    ENDS_WITH(KLX_ERR_FORKED, klx_push_consumer_poll(push, 1, 1000, &batch, &err));
    ENDS_WITH(KLX_ERR_FORKED, klx_push_consumer_complete(push, 1, KLX_VERDICT_SUCCESS, &err));
    ENDS_WITH(KLX_ERR_FORKED, klx_pull_consumer_poll(pull, 1, 1000, &batch, &err));
    OK(klx_producer_close(producer, -1, &err));
    int ends[2];
    char answer = 0;
    CHECK(pipe(ends) == 0);
    OK(klx_producer_send_async(producer, message, on_sent, &ends[1], &err));
    CHECK(read(ends[0], &answer, 1) == 1 && answer == 'f');
    klx_producer_free(producer);
    klx_push_consumer_free(push);
    klx_pull_consumer_free(pull);

    klx_producer_t *fresh = start_producer(klx_server_namesrv_addr(server));
    OK(klx_producer_send(fresh, message, -1, NULL, &err));
    klx_producer_free(fresh);
    // The server stays the parent's.
    OK(klx_server_stop(server, &err));
    klx_server_free(server);
}

int main(void) {
    klx_server_t *server = start_server();
    klx_str_t servers = klx_server_namesrv_addr(server);
    create_topic(servers, "c-fork", 1);
    message = klx_message_new(KLX_STR("c-fork"), KLX_STR("x"));
    klx_producer_t *producer = start_producer(servers);
    klx_push_consumer_t *push = start_push(servers, "c-fork-push", "c-fork", "*");
    klx_pull_consumer_t *pull = start_pull(servers, "c-fork-pull");
    OK(klx_producer_send(producer, message, -1, NULL, &err));

    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        child(server, producer, push, pull);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    passed("a child refuses its parent's clients and starts its own");

    OK(klx_producer_send(producer, message, -1, NULL, &err));
    read_from_begin(pull, "c-fork");
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (size_t got = 0; got < 3;) {
        CHECK(now_ms() < deadline);
        klx_batch_t *batch = NULL;
        OK(klx_pull_consumer_poll(pull, 3, 500, &batch, &err));
        got += klx_batch_count(batch);
        CHECK(got <= 3);
        klx_batch_free(batch);
    }
    klx_pull_consumer_free(pull);
    klx_push_consumer_free(push);
    klx_producer_free(producer);
    klx_message_free(message);
    klx_server_free(server);
    passed("the parent goes on");
    return 0;
}
