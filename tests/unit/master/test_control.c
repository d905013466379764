/* What is asked of the control socket and what is answered, also to those who leave. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "tests/unit/master/control_rig.h"

TestSuite(control, .init = rig_set_up, .fini = rig_tear_down, .timeout = 60);

/* ---- asking ---- */

Test(control, answers_rows_and_an_end)
{
    json_t *row, *end;
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_ECHO);
    row = rig_hear(fd);
    cr_expect_str_eq(rig.packet, "{\"row\":" SAY_ECHO "}");
    json_decref(row);
    rig_hear_end(fd, 0, NULL, &end);
    cr_expect(json_is_true(json_object_get(end, "may_change")));
    json_decref(end);
    (void)close(fd);
}

Test(control, one_client_asks_again_and_again)
{
    int fd;

    rig_open();
    fd = rig_connect();
    for (int i = 0; i < 100; i++) {
        rig_say(fd, SAY_ECHO);
        rig_hear_row_and_end(fd);
    }
    (void)close(fd);
}

Test(control, requests_sent_at_once_are_answered_one_after_the_other)
{
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_HOLD);
    rig_say(fd, SAY_ECHO);
    rig_say(fd, SAY_HOLD);
    rig_wait_for_held(1);
    rig_some_turns();
    cr_expect(rig.held_count == 1);
    cr_expect(recv(fd, rig.packet, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN);
    control_request_end(rig.held[0], json_pack("{s:i}", "n", 1));
    rig_hear_end(fd, 0, NULL, NULL);
    rig_hear_row_and_end(fd);
    rig_wait_for_held(2);
    control_request_end(rig.held[1], NULL);
    rig_hear_end(fd, 0, NULL, NULL);
    (void)close(fd);
}

Test(control, a_failure_has_code_text_and_more)
{
    json_t *end;
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, "{\"version\":1,\"verb\":\"change\"}");
    rig_hear_end(fd, EXIT_CODE_CONFIG, "refused: a \"reason\"", &end);
    cr_expect(json_array_size(json_object_get(end, "list")) == 1);
    json_decref(end);
    rig_say(fd, SAY_ECHO);
    rig_hear_row_and_end(fd);
    (void)close(fd);
}

Test(control, what_is_no_request_is_told_and_the_connection_stays)
{
    static const struct {
        const char *packet;
        int code;
        const char *error;
    } rows[] = {
        { "garbage", EXIT_CODE_USAGE, "not one JSON object" },
        { "[1]", EXIT_CODE_USAGE, "it is an array" },
        { "7", EXIT_CODE_USAGE, "not one JSON object" },
        { "{\"version\":1,\"verb\":\"echo\"} {}", EXIT_CODE_USAGE, "not one JSON object" },
        { "{\"version\":1,\"version\":1,\"verb\":\"echo\"}", EXIT_CODE_USAGE, "duplicate" },
        { "{\"version\":1,\"verb\":\"\xff\"}", EXIT_CODE_USAGE, "unable to decode byte 0xff" },
        { "{\"version\":1,\"verb\":\"ec\\u0000ho\"}", EXIT_CODE_USAGE, "not one JSON object" },
        { "{\"verb\":\"echo\"}", EXIT_CODE_USAGE, "no \"version\"" },
        { "{\"version\":\"1\",\"verb\":\"echo\"}", EXIT_CODE_USAGE, "no \"version\"" },
        { "{\"version\":1.0,\"verb\":\"echo\"}", EXIT_CODE_USAGE, "no \"version\"" },
        { "{\"version\":2,\"verb\":\"echo\"}", EXIT_CODE_UNAVAILABLE, "version 1 of" },
        { "{\"version\":9223372036854775807}", EXIT_CODE_UNAVAILABLE, "9223372036854775807" },
        { "{\"version\":1}", EXIT_CODE_USAGE, "no \"verb\"" },
        { "{\"version\":1,\"verb\":[]}", EXIT_CODE_USAGE, "no \"verb\"" },
        { "{\"version\":1,\"verb\":\"\"}", EXIT_CODE_UNAVAILABLE, "knows no verb \"\"" },
        { "{\"version\":1,\"verb\":\"ecko\"}", EXIT_CODE_UNAVAILABLE, "did you mean \"echo\"?" },
        { "{\"version\":1,\"verb\":\"nothing like it\"}", EXIT_CODE_UNAVAILABLE, "knows no verb" },
    };
    int fd;

    rig_open();
    fd = rig_connect();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        rig_say(fd, rows[i].packet);
        rig_hear_end(fd, rows[i].code, rows[i].error, NULL);
    }
    rig_say(fd, SAY_ECHO);
    rig_hear_row_and_end(fd);
    (void)close(fd);
}

Test(control, packets_up_to_the_limit)
{
    char *text = malloc(CONTROL_PACKET_BYTES + 2);
    int head, fd;

    cr_assert(text);
    rig_open();
    fd = rig_connect();
    head = snprintf(text, CONTROL_PACKET_BYTES, "{\"version\":1,\"verb\":\"nothing\",\"x\":\"");
    memset(text + head, 'x', CONTROL_PACKET_BYTES + 1 - (size_t)head);
    memcpy(text + CONTROL_PACKET_BYTES - 2, "\"}", 3);
    cr_assert(send(fd, text, CONTROL_PACKET_BYTES, 0) == CONTROL_PACKET_BYTES);
    rig_hear_end(fd, EXIT_CODE_UNAVAILABLE, "knows no verb", NULL);
    memcpy(text + CONTROL_PACKET_BYTES - 2, "x\"}", 3);
    cr_assert(send(fd, text, CONTROL_PACKET_BYTES + 1, 0) == CONTROL_PACKET_BYTES + 1);
    rig_hear_end(fd, EXIT_CODE_USAGE, "65537 bytes; 65536 is the most", NULL);
    rig_say(fd, SAY_ECHO);
    rig_hear_row_and_end(fd);
    (void)close(fd);
    free(text);
}

Test(control, deep_nesting_is_refused)
{
    char *text = malloc(60001);
    int fd;

    cr_assert(text);
    memset(text, '[', 60000);
    text[60000] = '\0';
    rig_open();
    fd = rig_connect();
    rig_say(fd, text);
    rig_hear_end(fd, EXIT_CODE_USAGE, "depth", NULL);
    (void)close(fd);
    free(text);
}

Test(control, descriptors_that_are_sent_along_do_not_stay)
{
    char control_bytes[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec body = { .iov_base = (char[]){ SAY_ECHO }, .iov_len = strlen(SAY_ECHO) };
    struct msghdr message = { .msg_iov = &body,
                              .msg_iovlen = 1,
                              .msg_control = control_bytes,
                              .msg_controllen = sizeof(control_bytes) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int before, after, fd;

    rig_open();
    fd = rig_connect();
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    rig_say(fd, SAY_ECHO);
    rig_hear_row_and_end(fd);
    before = dup(0);
    (void)close(before);
    cr_assert(sendmsg(fd, &message, 0) > 0);
    rig_hear_row_and_end(fd);
    after = dup(0);
    (void)close(after);
    cr_expect(before == after, "the lowest free descriptor is the same");
    (void)close(fd);
}

/* ---- long answers ---- */

Test(control, arrays_that_are_too_long_are_cut_and_that_is_said)
{
    json_t *row, *end;
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, "{\"version\":1,\"verb\":\"long\"}");
    row = rig_hear(fd);
    cr_expect(json_is_true(json_object_get(json_object_get(row, "row"), "cut")));
    cr_expect(json_array_size(json_object_get(json_object_get(row, "row"), "jobs")) == 1250);
    cr_expect(json_integer_value(json_object_get(json_object_get(row, "row"), "pid")) == 7);
    json_decref(row);
    rig_hear_end(fd, 0, NULL, &end);
    cr_expect(json_is_true(json_object_get(end, "cut")));
    cr_expect(json_array_size(json_object_get(end, "findings")) == 5000);
    cr_expect(json_array_size(json_object_get(end, "short")) == 1);
    json_decref(end);
    (void)close(fd);
}

Test(control, an_answer_with_a_hole_fails_at_its_end)
{
    json_t *row, *end;
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, "{\"version\":1,\"verb\":\"broken\"}");
    row = rig_hear(fd);
    json_decref(row);
    rig_hear_end(fd, EXIT_CODE_FAILED, "larger than a packet", &end);
    cr_expect(!json_object_get(end, "generation"));
    json_decref(end);
    (void)close(fd);
}

/* More than the kernel takes at once, read only afterwards. */
Test(control, rows_wait_for_a_client_that_reads_later)
{
    int fd;

    rig.rows_wanted = 3000;
    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_ROWS);
    rig_some_turns();
    for (unsigned int i = 0; i < rig.rows_wanted; i++) {
        json_t *row = rig_hear(fd);

        cr_assert(json_integer_value(json_object_get(json_object_get(row, "row"), "n")) == i, "%s",
                  rig.packet);
        json_decref(row);
    }
    rig_hear_end(fd, 0, NULL, NULL);
    rig_say(fd, SAY_ECHO);
    rig_hear_row_and_end(fd);
    (void)close(fd);
}

Test(control, what_waits_for_a_client_is_bounded)
{
    unsigned int rows = 0;
    json_t *answer;
    int fd;

    rig.rows_wanted = 6000;
    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_ROWS);
    while ((answer = rig_hear(fd)) && json_object_get(answer, "row")) {
        rows++;
        json_decref(answer);
    }
    cr_assert(answer, "the connection stays");
    cr_expect(rows > 4000 && rows < 5000, "%u rows", rows);
    cr_expect(strstr(rig.packet, "may wait for a client"), "%s", rig.packet);
    json_decref(answer);
    rig_say(fd, SAY_ECHO);
    rig_hear_row_and_end(fd);
    (void)close(fd);
}

/* ---- leaving ---- */

static void wait_until_unheard(const struct control_request *request)
{
    uint64_t end_ms = clock_now_ms() + RIG_PATIENCE_MS;

    while (control_request_is_heard(request)) {
        cr_assert(clock_now_ms() < end_ms, "that the client left was not seen");
        rig_turn();
    }
}

Test(control, a_client_that_leaves_does_not_end_its_request)
{
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_HOLD);
    rig_wait_for_held(1);
    cr_expect(control_request_is_heard(rig.held[0]));
    (void)close(fd);
    wait_until_unheard(rig.held[0]);
    cr_expect(!control_request_add_row(rig.held[0], json_pack("{s:i}", "n", 1)));
    cr_expect_str_eq(control_request_verb(rig.held[0]), "hold");
    cr_expect(json_is_object(control_request_args(rig.held[0])));
    control_request_fail(rig.held[0], 1, json_object(), "nobody hears this");
}

Test(control, what_was_asked_before_leaving_is_done)
{
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, "{\"version\":1,\"verb\":\"change\"}");
    (void)close(fd);
    for (uint64_t end_ms = clock_now_ms() + RIG_PATIENCE_MS; rig.changed == 0;) {
        cr_assert(clock_now_ms() < end_ms);
        rig_turn();
    }
}

Test(control, a_client_that_only_sends_no_more_gets_all_answers)
{
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_HOLD);
    rig_say(fd, SAY_ECHO);
    cr_assert(shutdown(fd, SHUT_WR) == 0);
    rig_wait_for_held(1);
    rig_some_turns();
    cr_expect(control_request_is_heard(rig.held[0]));
    control_request_end(rig.held[0], NULL);
    rig_hear_end(fd, 0, NULL, NULL);
    rig_hear_row_and_end(fd);
    rig_expect_closed(fd);
}

Test(control, a_half_closed_client_that_leaves_after_all)
{
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_HOLD);
    cr_assert(shutdown(fd, SHUT_WR) == 0);
    rig_wait_for_held(1);
    rig_some_turns();
    (void)close(fd);
    cr_expect(!control_request_add_row(rig.held[0], json_pack("{s:i}", "n", 1)));
    cr_expect(!control_request_is_heard(rig.held[0]));
    control_request_end(rig.held[0], NULL);
}

Test(control, a_client_that_leaves_with_answers_unread)
{
    int fd;

    rig.rows_wanted = 3000;
    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_ROWS);
    rig_some_turns();
    (void)close(fd);
    rig_some_turns();
    fd = rig_connect();
    rig_say(fd, SAY_ECHO);
    rig_hear_row_and_end(fd);
    (void)close(fd);
}

Test(control, requests_outlive_the_server)
{
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_HOLD);
    rig_wait_for_held(1);
    control_close(rig.control);
    rig.control = NULL;
    cr_expect(!control_request_is_heard(rig.held[0]));
    rig_expect_closed(fd);
    rig_some_turns();
    control_request_end(rig.held[0], NULL);
}

Test(control, an_answer_just_before_the_end_arrives)
{
    int fd;

    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_HOLD);
    rig_wait_for_held(1);
    control_request_fail(rig.held[0], 1, NULL, "stopping");
    control_close(rig.control);
    rig.control = NULL;
    rig_hear_end(fd, 1, "stopping", NULL);
    rig_expect_closed(fd);
}
