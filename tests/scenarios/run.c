// SPDX-License-Identifier: Apache-2.0
// The scenarios of this folder through the C client. README.md says what the commands mean.
// Usage: run FILE...    (servers: NAMESRV_ADDR, or an embedded one)
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kerolox.h"

enum { MAX_WORDS = 16, MAX_MEMBERS = 4, MAX_RECEIVED = 64, TEXT = 128, ARRIVAL_MS = 30000, QUIET_MS = 300 };

// A message as the command `message` asks for it; of the properties, those that an application set.
typedef struct {
    char body[TEXT], tag[TEXT], keys[TEXT], properties[TEXT], reconsumed[TEXT];
} received_t;

typedef struct {
    char name[TEXT];
    klx_push_consumer_t *push;
    klx_pull_consumer_t *pull;
    klx_queues_t *queues;
    received_t received[MAX_RECEIVED];
    size_t count;
} member_t;

typedef struct {
    char *words[MAX_WORDS], *fields[MAX_WORDS];
    size_t word_count, field_count;
} command_t;

static const char *name_servers;
static klx_admin_t *admin;
static klx_producer_t *producer;
static member_t members[MAX_MEMBERS];
static jmp_buf failed;
static char reason[1024];

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    longjmp(failed, 1);
}

static void check(klx_status_t status, klx_error_t *err) {
    if (status == KLX_OK) return;
    char text[sizeof reason / 2];
    snprintf(text, sizeof text, "%s", klx_error_message(err));
    klx_error_free(err);
    fail("%s", text);
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void copy(char *to, klx_str_t from) {
    snprintf(to, TEXT, "%.*s", (int)from.len, from.len ? from.ptr : "");
}

// A topic or group with this process's suffix; the caller uses it before asking for the next but three.
static klx_str_t full_name(const char *name) {
    static char names[4][TEXT + 32];
    static unsigned turn;
    char *to = names[turn++ % 4];
    snprintf(to, sizeof names[0], "%s-c%ld", name, (long)getpid());
    return klx_str(to);
}

static member_t *member(const char *name) {
    for (member_t *m = members; m < members + MAX_MEMBERS; m++)
        if (strcmp(m->name, name) == 0) return m;
    fail("no consumer %s", name);
    return NULL;
}

static member_t *new_member(const char *name) {
    for (member_t *m = members; m < members + MAX_MEMBERS; m++) {
        if (m->name[0] != '\0') continue;
        memset(m, 0, sizeof *m);
        copy(m->name, klx_str(name));
        return m;
    }
    fail("too many consumers");
    return NULL;
}

static void close_member(member_t *m) {
    klx_error_t *err = NULL;
    klx_status_t status = KLX_OK;
    if (m->push != NULL) status = klx_push_consumer_close(m->push, -1, &err);
    if (m->pull != NULL) status = klx_pull_consumer_close(m->pull, -1, &err);
    klx_push_consumer_free(m->push);
    klx_pull_consumer_free(m->pull);
    klx_queues_free(m->queues);
    memset(m, 0, sizeof *m);
    check(status, err);
}

static const char *value_of(char *field) {
    char *equals = strchr(field, '=');
    *equals = '\0';
    return equals + 1;
}

static klx_message_t *message(const char *topic, const char *body, const command_t *command) {
    klx_error_t *err = NULL;
    klx_message_t *made = klx_message_new(full_name(topic), klx_str(strcmp(body, "-") == 0 ? "" : body));
    for (size_t i = 0; i < command->field_count; i++) {
        char field[TEXT];
        copy(field, klx_str(command->fields[i]));
        char *value = (char *)value_of(field);
        if (strncmp(field, "prop.", 5) == 0) {
            check(klx_message_set_property(made, klx_str(field + 5), klx_str(value), &err), err);
        } else if (strcmp(field, "tag") == 0) {
            check(klx_message_set_tag(made, klx_str(value), &err), err);
        } else if (strcmp(field, "keys") == 0) {
            for (char *key = value, *next; key != NULL; key = next) {
                if ((next = strchr(key, ',')) != NULL) *next++ = '\0';
                check(klx_message_add_key(made, klx_str(key), &err), err);
            }
        } else {
            fail("unknown field %s", field);
        }
    }
    return made;
}

static void check_sent(klx_send_result_t *sent, int queue_id) {
    klx_send_status_t status = klx_send_result_status(sent);
    size_t id_length = klx_send_result_message_id(sent).len;
    int went_to = klx_send_result_queue_id(sent);
    klx_send_result_free(sent);
    if (status != KLX_SEND_OK) fail("answered %s", klx_send_status_name(status));
    if (id_length == 0) fail("no message id");
    if (queue_id >= 0 && went_to != queue_id) fail("went to queue %d", went_to);
}

static void do_send(const char *topic, const char *body, int queue_id, const command_t *command) {
    klx_error_t *err = NULL;
    klx_send_result_t *sent = NULL;
    klx_status_t status = KLX_OK;
    klx_message_t *made = message(topic, body, command);
    if (queue_id < 0) {
        status = klx_producer_send(producer, made, -1, &sent, &err);
    } else {
        klx_queues_t *queues = NULL;
        check(klx_producer_queues(producer, full_name(topic), -1, &queues, &err), err);
        klx_queue_t queue = {0};
        for (size_t i = 0; i < klx_queues_count(queues); i++)
            if (klx_queues_at(queues, i).queue_id == queue_id) queue = klx_queues_at(queues, i);
        status = klx_producer_send_to_queue(producer, made, &queue, -1, &sent, &err);
        klx_queues_free(queues);
    }
    klx_message_free(made);
    check(status, err);
    check_sent(sent, queue_id);
}

static void do_send_fails(const char *code, const char *topic, const char *body, const command_t *command) {
    klx_message_t *made = message(topic, body, command);
    klx_status_t status = klx_producer_send(producer, made, -1, NULL, NULL);
    klx_message_free(made);
    if (strcmp(klx_status_name(status), code) != 0) fail("ended with %s", klx_status_name(status));
}

static void do_batch(const command_t *command) {
    klx_error_t *err = NULL;
    klx_send_result_t *sent = NULL;
    klx_message_t *messages[MAX_WORDS];
    size_t count = 0;
    for (size_t i = 2; i < command->word_count; i++)
        messages[count++] = message(command->words[1], command->words[i], command);
    klx_status_t status =
        klx_producer_send_batch(producer, (const klx_message_t *const *)messages, count, -1, &sent, &err);
    for (size_t i = 0; i < count; i++) klx_message_free(messages[i]);
    check(status, err);
    check_sent(sent, -1);
}

static klx_options_t *options(const char *group, const command_t *command) {
    klx_error_t *err = NULL;
    klx_options_t *made = klx_options_new();
    check(klx_options_set_str(made, KLX_STR("name_servers"), klx_str(name_servers), &err), err);
    check(klx_options_set_str(made, KLX_STR("group"), full_name(group), &err), err);
    check(klx_options_set_str(made, KLX_STR("consume_from"), KLX_STR("FIRST_OFFSET"), &err), err);
    for (size_t i = 0; i < command->field_count; i++) {
        char field[TEXT];
        copy(field, klx_str(command->fields[i]));
        const char *value = value_of(field);
        check(klx_options_set_str(made, klx_str(field), klx_str(value), &err), err);
    }
    return made;
}

static void do_push(const command_t *command) {
    klx_error_t *err = NULL;
    member_t *m = new_member(command->words[1]);
    klx_options_t *wanted = options(command->words[2], command);
    klx_str_t offset_dir = klx_str(getenv("SCENARIO_DIR"));
    check(klx_options_set_str(wanted, KLX_STR("offset_store_dir"), offset_dir, &err), err);
    klx_subscription_t subscription = {full_name(command->words[3]), klx_str(command->words[4])};
    klx_status_t status = klx_push_consumer_start(wanted, &subscription, 1, -1, &m->push, &err);
    klx_options_free(wanted);
    check(status, err);
}

static void do_pull(const command_t *command) {
    klx_error_t *err = NULL;
    member_t *m = new_member(command->words[1]);
    klx_options_t *wanted = options(command->words[2], command);
    klx_status_t status = klx_pull_consumer_start(wanted, -1, &m->pull, &err);
    klx_options_free(wanted);
    check(status, err);
    klx_str_t topic = full_name(command->words[3]);
    check(klx_pull_consumer_queues(m->pull, topic, -1, &m->queues, &err), err);
    check(klx_pull_consumer_filter(m->pull, topic, klx_str(command->words[4]), &err), err);
    klx_queue_t assigned[MAX_WORDS];
    size_t count = klx_queues_count(m->queues);
    for (size_t i = 0; i < count; i++) assigned[i] = klx_queues_at(m->queues, i);
    check(klx_pull_consumer_assign(m->pull, assigned, count, &err), err);
}

static void do_seek(member_t *m, bool to_begin) {
    klx_error_t *err = NULL;
    for (size_t i = 0; i < klx_queues_count(m->queues); i++) {
        klx_queue_t queue = klx_queues_at(m->queues, i);
        check(to_begin ? klx_pull_consumer_seek_to_begin(m->pull, &queue, -1, &err)
                       : klx_pull_consumer_seek_to_end(m->pull, &queue, -1, &err),
              err);
    }
}

static void do_assigned(member_t *m, size_t wanted) {
    klx_error_t *err = NULL;
    long long deadline = now_ms() + ARRIVAL_MS;
    for (;;) {
        klx_queues_t *queues = NULL;
        check(klx_push_consumer_assigned(m->push, &queues, &err), err);
        size_t count = klx_queues_count(queues);
        klx_queues_free(queues);
        if (count == wanted) return;
        if (now_ms() > deadline) fail("owns %zu queues", count);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
}

static void note(member_t *m, const klx_batch_t *batch, size_t i) {
    if (m->count == MAX_RECEIVED) fail("too many messages");
    received_t *got = &m->received[m->count++];
    memset(got, 0, sizeof *got);
    copy(got->body, klx_batch_body(batch, i));
    copy(got->tag, klx_batch_tag(batch, i));
    for (size_t k = 0; k < klx_batch_key_count(batch, i); k++) {
        klx_str_t key = klx_batch_key(batch, i, k);
        size_t used = strlen(got->keys);
        snprintf(got->keys + used, TEXT - used, "%s%.*s", k ? "," : "", (int)key.len, key.ptr);
    }
    copy(got->properties, klx_batch_property(batch, i, KLX_STR("colour")));
    snprintf(got->reconsumed, TEXT, "%d", klx_batch_reconsume_times(batch, i));
    klx_str_t topic = klx_batch_topic(batch, i), suffix = full_name("");
    if (topic.len < suffix.len || memcmp(topic.ptr + topic.len - suffix.len, suffix.ptr, suffix.len) != 0)
        fail("topic is %.*s", (int)topic.len, topic.ptr);
    if (klx_batch_message_id(batch, i).len == 0) fail("no message id");
}

// Takes what there is; deliveries are completed with success. Answers how many came.
static size_t poll_member(member_t *m, uint64_t wait_ms) {
    klx_error_t *err = NULL;
    klx_batch_t *batch = NULL;
    check(m->push != NULL ? klx_push_consumer_poll(m->push, MAX_RECEIVED, wait_ms, &batch, &err)
                          : klx_pull_consumer_poll(m->pull, MAX_RECEIVED, wait_ms, &batch, &err),
          err);
    size_t count = klx_batch_count(batch);
    for (size_t i = 0; i < count; i++) {
        note(m, batch, i);
        if (m->push == NULL) continue;
        uint64_t id = klx_batch_delivery_id(batch, i);
        check(klx_push_consumer_complete(m->push, id, KLX_VERDICT_SUCCESS, &err), err);
    }
    klx_batch_free(batch);
    return count;
}

static int compare(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void do_expect(member_t **from, size_t sources, char **bodies, size_t wanted) {
    size_t before[2] = {0}, total = 0;
    for (size_t s = 0; s < sources; s++) before[s] = from[s]->count;
    long long deadline = now_ms() + ARRIVAL_MS;
    while (total < wanted && now_ms() < deadline)
        for (size_t s = 0; s < sources; s++) total += poll_member(from[s], 100);
    for (size_t s = 0; s < sources; s++) total += poll_member(from[s], QUIET_MS);

    const char *arrived[2 * MAX_RECEIVED], *expected[MAX_WORDS];
    size_t count = 0;
    for (size_t s = 0; s < sources; s++) {
        if (sources > 1 && from[s]->count == before[s]) fail("%s got nothing", from[s]->name);
        for (size_t i = before[s]; i < from[s]->count; i++) arrived[count++] = from[s]->received[i].body;
    }
    for (size_t i = 0; i < wanted; i++) expected[i] = bodies[i];
    qsort(arrived, count, sizeof *arrived, compare);
    qsort(expected, wanted, sizeof *expected, compare);
    if (count != wanted) fail("got %zu messages", count);
    for (size_t i = 0; i < wanted; i++)
        if (strcmp(arrived[i], expected[i]) != 0) fail("got %s, not %s", arrived[i], expected[i]);
}

static void do_later(member_t *m, const char *wanted) {
    klx_error_t *err = NULL;
    klx_batch_t *batch = NULL;
    long long deadline = now_ms() + ARRIVAL_MS;
    while (klx_batch_count(batch) == 0) {
        if (now_ms() > deadline) fail("%s did not arrive", wanted);
        klx_batch_free(batch);
        batch = NULL;
        check(klx_push_consumer_poll(m->push, 1, 100, &batch, &err), err);
    }
    bool right = klx_str_eq(klx_batch_body(batch, 0), klx_str(wanted));
    uint64_t id = klx_batch_delivery_id(batch, 0);
    klx_batch_free(batch);
    if (!right) fail("something else arrived");
    check(klx_push_consumer_complete(m->push, id, KLX_VERDICT_LATER, &err), err);
}

static void do_message(member_t *m, const char *body, const command_t *command) {
    received_t *got = NULL;
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->received[i].body, body) == 0) got = &m->received[i];
    if (got == NULL) {
        fail("did not arrive");
        return;
    }
    for (size_t i = 0; i < command->field_count; i++) {
        char field[TEXT];
        copy(field, klx_str(command->fields[i]));
        const char *value = value_of(field), *is = NULL;
        if (strcmp(field, "tag") == 0) is = got->tag;
        if (strcmp(field, "keys") == 0) is = got->keys;
        if (strcmp(field, "reconsumed") == 0) is = got->reconsumed;
        if (strcmp(field, "prop.colour") == 0) is = got->properties;
        if (is == NULL) fail("unknown field %s", field);
        if (strcmp(is, value) != 0) fail("%s is %s", field, is);
    }
}

static void run_command(const command_t *command) {
    klx_error_t *err = NULL;
    char *const *word = command->words;
    size_t count = command->word_count;
    const char *verb = word[0];
    if (strcmp(verb, "topic") == 0 && count == 3) {
        check(klx_admin_create_topic(admin, full_name(word[1]), atoi(word[2]), klx_str(NULL), -1, &err), err);
    } else if (strcmp(verb, "queues") == 0 && count == 3) {
        klx_queues_t *queues = NULL;
        check(klx_producer_queues(producer, full_name(word[1]), -1, &queues, &err), err);
        size_t found = klx_queues_count(queues);
        klx_queues_free(queues);
        if (found != (size_t)atoi(word[2])) fail("%zu queues", found);
    } else if (strcmp(verb, "send") == 0 && count == 3) {
        do_send(word[1], word[2], -1, command);
    } else if (strcmp(verb, "send-to") == 0 && count == 4) {
        do_send(word[1], word[3], atoi(word[2]), command);
    } else if (strcmp(verb, "send-fails") == 0 && count == 4) {
        do_send_fails(word[1], word[2], word[3], command);
    } else if (strcmp(verb, "oneway") == 0 && count == 3) {
        klx_message_t *made = message(word[1], word[2], command);
        klx_status_t status = klx_producer_send_oneway(producer, made, -1, &err);
        klx_message_free(made);
        check(status, err);
    } else if (strcmp(verb, "batch") == 0 && count > 2) {
        do_batch(command);
    } else if (strcmp(verb, "push") == 0 && count == 5) {
        do_push(command);
    } else if (strcmp(verb, "pull") == 0 && count == 5) {
        do_pull(command);
    } else if (strcmp(verb, "assigned") == 0 && count == 3) {
        do_assigned(member(word[1]), (size_t)atoi(word[2]));
    } else if (strcmp(verb, "expect") == 0 && count > 1) {
        do_expect((member_t *[]){member(word[1])}, 1, (char **)word + 2, count - 2);
    } else if (strcmp(verb, "expect-shared") == 0 && count > 3) {
        do_expect((member_t *[]){member(word[1]), member(word[2])}, 2, (char **)word + 3, count - 3);
    } else if (strcmp(verb, "later") == 0 && count == 3) {
        do_later(member(word[1]), word[2]);
    } else if (strcmp(verb, "message") == 0 && count == 3) {
        do_message(member(word[1]), word[2], command);
    } else if (strcmp(verb, "commit") == 0 && count == 2) {
        check(klx_pull_consumer_commit(member(word[1])->pull, -1, &err), err);
    } else if ((strcmp(verb, "begin") == 0 || strcmp(verb, "end") == 0) && count == 2) {
        do_seek(member(word[1]), verb[0] == 'b');
    } else if (strcmp(verb, "close") == 0 && count == 2) {
        close_member(member(word[1]));
    } else {
        fail("unknown command: %s with %zu words", verb, count - 1);
    }
}

static void run_line(char *line) {
    command_t command = {0};
    if (line[0] == '#') return;
    for (char *word = strtok(line, " \t\r\n"); word != NULL; word = strtok(NULL, " \t\r\n")) {
        if (command.word_count == MAX_WORDS || command.field_count == MAX_WORDS) fail("too many words");
        if (strchr(word, '=') != NULL) command.fields[command.field_count++] = word;
        else command.words[command.word_count++] = word;
    }
    if (command.word_count > 0) run_command(&command);
}

// Whether the file's scenario went well; else `reason` says why not.
static bool run_file(const char *path, volatile int *number) {
    char line[1024];
    FILE *volatile file = fopen(path, "r");
    if (file == NULL) {
        snprintf(reason, sizeof reason, "can not be read");
        return false;
    }
    volatile bool ok = setjmp(failed) == 0;
    if (ok) {
        while (fgets(line, sizeof line, file) != NULL) {
            ++*number;
            run_line(line);
        }
    }
    fclose(file);
    for (member_t *volatile m = members; m < members + MAX_MEMBERS; m++) {
        if (setjmp(failed) == 0) close_member(m);
        else ok = false;
    }
    return ok;
}

static void start(klx_server_t **server) {
    klx_error_t *err = NULL;
    static char own[TEXT];
    name_servers = getenv("NAMESRV_ADDR");
    if (name_servers == NULL) {
        check(klx_server_start(NULL, server, &err), err);
        copy(own, klx_server_namesrv_addr(*server));
        name_servers = own;
    }
    klx_options_t *made = klx_options_new();
    check(klx_options_set_str(made, KLX_STR("name_servers"), klx_str(name_servers), &err), err);
    check(klx_admin_start(made, -1, &admin, &err), err);
    check(klx_producer_start(made, -1, &producer, &err), err);
    klx_options_free(made);
}

int main(int argc, char **argv) {
    klx_server_t *server = NULL;
    volatile int wrong = argc < 2;
    if (setjmp(failed) != 0) {
        printf("not ok: %s\n", reason);
        return 1;
    }
    start(&server);
    for (int i = 1; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/'), *name = slash != NULL ? slash + 1 : argv[i];
        volatile int number = 0;
        if (run_file(argv[i], &number)) {
            printf("ok %s\n", name);
        } else {
            printf("not ok %s: line %d: %s\n", name, number, reason);
            wrong = 1;
        }
        fflush(stdout);
    }
    klx_producer_free(producer);
    klx_admin_free(admin);
    klx_server_free(server);
    return wrong;
}
