// SPDX-License-Identifier: Apache-2.0
// Callbacks: each runs once, on another thread, never inside the function that asked for it, and may ask again.
#include "check.h"

#include <pthread.h>

enum { SENDS = 500, CHAIN = 300 };

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t asker;
    int done;
    int ok;
    klx_status_t blocking_status;
    const klx_producer_t *producer;
    const klx_push_consumer_t *push;
    const klx_pull_consumer_t *pull;
    const klx_message_t *message;
} state_t;

static state_t new_state(void) {
    state_t state = {.asker = pthread_self()};
    CHECK(pthread_mutex_init(&state.lock, NULL) == 0 && pthread_cond_init(&state.changed, NULL) == 0);
    return state;
}

static void end(state_t *state) {
    pthread_cond_destroy(&state->changed);
    pthread_mutex_destroy(&state->lock);
}

static void wait_for(state_t *state, int done) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&state->lock);
    while (state->done < done) CHECK(pthread_cond_timedwait(&state->changed, &state->lock, &deadline) == 0);
    pthread_mutex_unlock(&state->lock);
}

static void count(state_t *state, int done, int ok) {
    pthread_mutex_lock(&state->lock);
    state->done += done;
    state->ok += ok;
    pthread_cond_signal(&state->changed);
    pthread_mutex_unlock(&state->lock);
}

static void on_sent(void *user_data, klx_status_t status, klx_send_result_t *result, klx_error_t *err) {
    state_t *state = user_data;
    CHECK(!pthread_equal(pthread_self(), state->asker));
    CHECK((status == KLX_OK) == (result != NULL) && (status == KLX_OK) == (err == NULL));
    klx_send_result_free(result);
    klx_error_free(err);
    count(state, 1, status == KLX_OK);
}

static void each_send_is_answered_once(klx_producer_t *producer, const char *topic) {
    state_t state = new_state();
    klx_message_t *message = klx_message_new(klx_str(topic), KLX_STR("called back"));
    // The lock is held while asking: a callback that ran inside would never get it.
    pthread_mutex_lock(&state.lock);
    for (int i = 0; i < SENDS; i++) OK(klx_producer_send_async(producer, message, on_sent, &state, &err));
    pthread_mutex_unlock(&state.lock);
    wait_for(&state, SENDS);
    CHECK(state.done == SENDS && state.ok == SENDS);

    const klx_message_t *two[] = {message, message};
    OK(klx_producer_send_batch_async(producer, two, 2, on_sent, &state, &err));
    klx_queues_t *queues = NULL;
    OK(klx_producer_queues(producer, klx_str(topic), -1, &queues, &err));
    klx_queue_t queue = klx_queues_at(queues, 0);
    OK(klx_producer_send_to_queue_async(producer, message, &queue, on_sent, &state, &err));
    klx_queues_free(queues);
    wait_for(&state, SENDS + 2);
    CHECK(state.ok == SENDS + 2);

    klx_message_t *refused = klx_message_new(KLX_STR("not a topic"), KLX_STR("x"));
    OK(klx_producer_send_async(producer, refused, on_sent, &state, &err));
    wait_for(&state, SENDS + 3);
    CHECK(state.ok == SENDS + 2);
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_producer_send_async(producer, message, NULL, &state, &err));
    ENDS_WITH(KLX_ERR_INVALID_ARGUMENT, klx_producer_send_async(producer, NULL, on_sent, &state, &err));
    klx_message_free(refused);
    klx_message_free(message);
    CHECK(state.done == SENDS + 3);
    end(&state);
    passed("callbacks of sends");
}

static void on_sent_block(void *user_data, klx_status_t status, klx_send_result_t *result, klx_error_t *err) {
    state_t *state = user_data;
    klx_send_result_free(result);
    klx_error_free(err);
    state->blocking_status = klx_producer_send(state->producer, state->message, -1, NULL, NULL);
    count(state, 1, status == KLX_OK);
}

static void blocking_in_a_callback_is_refused(klx_producer_t *producer, const char *topic) {
    state_t state = new_state();
    klx_message_t *message = klx_message_new(klx_str(topic), KLX_STR("x"));
    state.producer = producer;
    state.message = message;
    OK(klx_producer_send_async(producer, message, on_sent_block, &state, &err));
    wait_for(&state, 1);
    CHECK(state.ok == 1 && state.blocking_status == KLX_ERR_WOULD_DEADLOCK);
    klx_message_free(message);
    end(&state);
    passed("a blocking call in a callback is refused");
}

static void on_sent_again(void *user_data, klx_status_t status, klx_send_result_t *result, klx_error_t *err) {
    state_t *state = user_data;
    CHECK(status == KLX_OK);
    klx_send_result_free(result);
    klx_error_free(err);
    bool is_last = state->ok + 1 == CHAIN;
    count(state, 1, 1);
    if (!is_last) OK(klx_producer_send_async(state->producer, state->message, on_sent_again, state, &err));
}

static void a_callback_may_send_again(klx_producer_t *producer, const char *topic) {
    state_t state = new_state();
    klx_message_t *message = klx_message_new(klx_str(topic), KLX_STR("chain"));
    state.producer = producer;
    state.message = message;
    OK(klx_producer_send_async(producer, message, on_sent_again, &state, &err));
    wait_for(&state, CHAIN);
    CHECK(state.ok == CHAIN);
    klx_message_free(message);
    end(&state);
    passed("a callback may send again");
}

// Completes what came and polls again, until the consumer is closed.
static void on_polled(void *user_data, klx_status_t status, klx_batch_t *batch, klx_error_t *err) {
    state_t *state = user_data;
    int received = (int)klx_batch_count(batch);
    klx_error_free(err);
    for (int i = 0; i < received; i++) {
        uint64_t id = klx_batch_delivery_id(batch, (size_t)i);
        OK(klx_push_consumer_complete(state->push, id, KLX_VERDICT_SUCCESS, &err));
    }
    klx_batch_free(batch);
    if (status == KLX_OK) {
        count(state, received, 0);
        OK(klx_push_consumer_poll_async(state->push, 16, 1000, on_polled, state, &err));
    } else {
        state->blocking_status = status;
        count(state, 1, 1);
    }
}

static void polls_follow_each_other(klx_str_t servers, const char *topic, int messages) {
    state_t state = new_state();
    klx_push_consumer_t *consumer = start_push(servers, "c-callback-group", topic, "*");
    state.push = consumer;
    OK(klx_push_consumer_poll_async(consumer, 16, 1000, on_polled, &state, &err));
    wait_for(&state, messages);
    OK(klx_push_consumer_close(consumer, -1, &err));
    wait_for(&state, messages + 1);
    CHECK(state.done == messages + 1 && state.ok == 1 && state.blocking_status == KLX_ERR_CLOSED);
    klx_push_consumer_free(consumer);
    end(&state);
    passed("callbacks of a push consumer");
}

static void on_pulled(void *user_data, klx_status_t status, klx_batch_t *batch, klx_error_t *err) {
    state_t *state = user_data;
    CHECK(status == KLX_OK && err == NULL);
    int received = (int)klx_batch_count(batch);
    klx_batch_free(batch);
    // Counting the end of a chain comes last: from then on the state may be gone.
    count(state, received, received == 0);
    if (received > 0) OK(klx_pull_consumer_poll_async(state->pull, 16, 500, on_pulled, state, &err));
}

static void pulls_follow_each_other(klx_str_t servers, const char *topic, int messages) {
    state_t state = new_state();
    klx_pull_consumer_t *consumer = start_pull(servers, "c-callback-pull");
    read_from_begin(consumer, topic);
    state.pull = consumer;
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (state.done < messages) {
        // A poll that brought nothing ended the chain: begin another one.
        CHECK(now_ms() < deadline);
        int rounds = state.ok;
        OK(klx_pull_consumer_poll_async(consumer, 16, 500, on_pulled, &state, &err));
        pthread_mutex_lock(&state.lock);
        while (state.ok == rounds) pthread_cond_wait(&state.changed, &state.lock);
        pthread_mutex_unlock(&state.lock);
    }
    CHECK(state.done == messages);
    klx_pull_consumer_free(consumer);
    end(&state);
    passed("callbacks of a pull consumer");
}

int main(void) {
    const char *topic = "c-callbacks";
    klx_server_t *server = start_server();
    klx_str_t servers = klx_server_namesrv_addr(server);
    create_topic(servers, topic, 2);
    klx_producer_t *producer = start_producer(servers);
    each_send_is_answered_once(producer, topic);
    blocking_in_a_callback_is_refused(producer, topic);
    a_callback_may_send_again(producer, topic);
    int messages = SENDS + 3 + 1 + CHAIN;
    polls_follow_each_other(servers, topic, messages);
    pulls_follow_each_other(servers, topic, messages);
    klx_producer_free(producer);
    klx_server_free(server);
    return 0;
}
