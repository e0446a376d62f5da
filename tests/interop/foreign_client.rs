// SPDX-License-Identifier: Apache-2.0
//! The official Java, Go and JavaScript clients against official and our servers.

use std::process::Command;

use anyhow::ensure;
use kerolox_tests::cluster::Kind;
use kerolox_tests::{programs, tools};

use crate::{PROGRAM, assert_all_ok, shared, start};

const JAVA_TOOLS: &[&str] = &["java", "javac", "mvn"];

/// What each client does.
const JAVA: &[&str] = &[
    "send_sync_to_auto_created_topic",
    "send_async",
    "send_oneway",
    "send_batch",
    "send_to_chosen_queue",
    "send_large_and_compressed",
    "send_without_tag_and_keys",
    "pull_status_and_tag_filter",
    "pull_held_until_a_message_arrives",
    "pull_errors",
    "offsets_min_max_by_time_and_commit",
    "lite_pull_assign_seek",
    "lite_pull_subscribe_continues_without_repeat",
    "push_tag_filter",
    "push_woken_on_arrival",
    "push_two_consumers_share_and_take_over",
    "push_broadcasting",
    "push_orderly",
    "admin_cluster_info",
    "admin_create_list_and_delete_topic",
    "admin_create_and_delete_group",
    "broker_refuses_too_large_body",
    "query_by_key",
    "view_by_unique_and_offset_id",
];
/// Filters by properties.
const JAVA_FILTERS: &[&str] = &[
    "sql_equality",
    "sql_order",
    "sql_between",
    "sql_in",
    "sql_null",
    "sql_search",
    "sql_logic",
    "sql_kinds",
    "sql_statuses",
    "sql_refused",
    "sql_push",
    "sql_push_changes_its_expression",
    "sql_lite_pull",
];
/// Where groups start, what they may, and how their offsets are set.
const JAVA_GROUPS: &[&str] = &[
    "group_starts_at_first_last_or_time",
    "group_offset_corrections",
    "group_reset_by_time_online",
    "group_reset_by_time_offline",
    "group_offsets_cloned",
    "group_consume_time_span",
    "group_broadcast_disabled",
    "group_pull_limits",
    "group_retry_topic_is_consumed_from_its_beginning",
];
const JAVA_TRANSACTIONS: &[&str] = &[
    "transaction_commit",
    "transaction_rollback",
    "transaction_checked_and_committed",
    "transaction_checked_and_rolled_back",
    "transaction_checked_until_decided",
    "transaction_whose_listener_throws",
    "transaction_checked_at_another_producer",
    "transaction_immune_for_a_while",
    "transaction_given_up",
    "transactions_mixed_to_a_push_consumer",
];
const JAVA_REQUESTS: &[&str] = &[
    "request_is_replied_to",
    "request_with_callback",
    "request_to_chosen_queue",
    "requests_in_parallel_get_their_own_replies",
    "request_without_reply_times_out",
    "reply_is_stored",
    "reply_to_nobody_is_refused",
    "consumer_running_info",
    "consume_message_directly",
    "consumer_status",
    "questions_to_absent_consumers_are_refused",
];
const JAVA_SEND_POLICIES: &[&str] = &[
    "send_to_a_read_only_topic",
    "send_to_a_queue_that_is_not_there",
    "send_too_many_properties",
    "send_in_unit_mode",
    "send_retry_and_dead_letter",
    "send_with_trace",
];
const JAVA_LIGHT_QUEUES: &[&str] = &["light_queues_get_what_names_them", "light_queue_offsets"];
/// Name server and settings.
const JAVA_NAME_SERVER: &[&str] = &[
    "namesrv_kv_put_get_and_delete",
    "namesrv_kv_list_of_a_namespace",
    "namesrv_order_config_per_cluster_and_broker",
    "namesrv_write_permission_of_an_unknown_broker",
    "namesrv_config_has_the_defaults",
    "namesrv_config_can_be_changed",
    "namesrv_config_black_list",
    "namesrv_topics_and_cluster_of_a_topic",
    "namesrv_unknown_topic_has_no_route",
    "broker_config_can_be_read_and_changed",
    "broker_config_black_list",
    "topic_on_every_broker_consumed_once",
];
/// Delivery at an instant.
const JAVA_TIMERS: &[&str] = &[
    "timer_after_seconds",
    "timer_after_milliseconds",
    "timer_at_an_instant",
    "timer_in_order_of_time",
    "timer_past_due_comes_at_once",
    "timer_too_far_is_refused",
    "timer_unreadable_is_refused",
    "timer_gives_way_to_a_level",
    "timer_to_a_push_consumer",
    "timer_recall",
    "timer_recall_refused",
];
/// What brokers tell administrators (`Figures.java`).
const JAVA_FIGURES: &[&str] = &[
    "admin_topic_stats",
    "admin_consume_stats",
    "admin_broker_consume_stats",
    "admin_consume_time_span",
    "admin_producers",
    "admin_consumer_connection",
    "admin_stats_data",
    "admin_groups_of_topic",
    "admin_all_groups",
    "admin_consume_queue",
    "admin_clean_up",
    "admin_runtime_info",
];
/// And what only clients of version 5 ask for.
const JAVA_FIGURES_5: &[&str] = &[
    "admin_topics_by_consumer",
    "admin_subscription_by_consumer",
    "admin_read_forbidden",
    "admin_topic_attributes",
    "admin_ha_status",
];
/// Pops: clients of 5.x with JSON headers.
const JAVA_POPS: &[&str] = &[
    "pop_and_acknowledge",
    "pop_again_as_retry",
    "pop_changed_invisible_time",
    "pop_batch_acknowledge",
    "pop_in_order",
    "pop_held_until_a_message_arrives",
    "pop_tag_filter",
    "pop_peek_notification_and_polling_info",
    "pop_errors",
    "pop_push_consumers_share",
    "pop_push_consumer_retries",
];
const JAVA_THEMES: &[&[&str]] = &[
    JAVA_FILTERS,
    JAVA_GROUPS,
    JAVA_TRANSACTIONS,
    JAVA_REQUESTS,
    JAVA_SEND_POLICIES,
    JAVA_LIGHT_QUEUES,
    JAVA_NAME_SERVER,
    JAVA_TIMERS,
    JAVA_FIGURES,
];
/// And over a restart of the servers.
const JAVA_RESTART: &[&str] = &[
    "offsets_before_restart",
    "offsets_after_restart",
    "timers_before_restart",
    "timers_after_restart",
];

/// What one client does.
struct Run {
    version: &'static str,
    headers: &'static str,
    /// Everything, or only what needs each version and encoding ([`JAVA`]).
    with_themes: bool,
    with_restart: bool,
}

impl Run {
    fn expected(&self) -> Vec<&'static str> {
        let is_five = self.version.starts_with('5');
        let mut expected = JAVA.to_vec();
        if self.with_themes {
            expected.extend(JAVA_THEMES.concat());
            if is_five {
                expected.extend(JAVA_FIGURES_5);
            }
            // Their codes do not fit binary headers.
            if is_five && self.headers == "JSON" {
                expected.extend(JAVA_POPS);
            }
        }
        if self.with_restart {
            expected.extend(JAVA_RESTART);
        }
        expected
    }
}

/// Both client versions, each with JSON and with binary headers, on one cluster; each version and each encoding does
/// everything once. Ours is restarted under each of them, the official one, which takes ten seconds for it, under the first.
fn java(kind: Kind) {
    let test = format!("Java clients against {}", kind.name());
    if tools::missing(&test, JAVA_TOOLS) {
        return;
    }
    let mut cluster = start(kind);
    for (version, headers, with_themes) in [
        ("5.5.0", "JSON", true),
        ("5.5.0", "ROCKETMQ", false),
        ("4.9.8", "JSON", false),
        ("4.9.8", "ROCKETMQ", true),
    ] {
        let client = format!("Java client {version}, {headers} headers");
        let run = Run {
            version,
            headers,
            with_themes,
            with_restart: kind == Kind::Ours || (version, headers) == ("5.5.0", "JSON"),
        };
        let reports = run_java(&mut cluster, &run)
            .unwrap_or_else(|error| panic!("{client} against {}: {error:?}", kind.name()));
        assert_all_ok(&client, kind, &cluster, &run.expected(), &reports);
    }
    cluster.stop().expect("stops in order");
}

fn run_java(
    cluster: &mut kerolox_tests::Cluster,
    run: &Run,
) -> anyhow::Result<Vec<programs::Report>> {
    let (version, headers) = (run.version, run.headers);
    let home = cluster.dir().join(format!("client-{version}-{headers}"));
    std::fs::create_dir_all(&home)?;
    let mut command = programs::java_client(version, &home)?;
    command.arg(format!("-Drocketmq.serialize.type={headers}"));
    command
        .arg("Interop")
        .arg(cluster.namesrv_addr().to_string());
    command.arg(format!("j{}_{headers}", version.replace('.', "")));
    let expected = run.expected();
    command.args(expected.iter().filter(|name| !JAVA_RESTART.contains(name)));
    if run.with_restart {
        command.arg("restart");
    }
    programs::run(&mut command, &home, PROGRAM, |what| {
        ensure!(what == "restart", "awaits {what}");
        cluster.stop()?;
        cluster.start_again()
    })
}

#[test]
fn java_clients_against_official_servers() {
    java(Kind::Official);
}

#[test]
fn java_clients_against_our_servers() {
    java(Kind::Ours);
}

const GO: &[&str] = &[
    "send_sync_and_consume",
    "send_async",
    "send_batch",
    "send_oneway",
    "push_tag_filter",
    "consume_continues_without_repeat",
];
const NODE: &[&str] = &["send_and_consume", "send_concurrently", "push_tag_filter"];

/// The Go client and ali-ons, one after the other on one cluster.
fn go_and_node(kind: Kind) {
    let name = kind.name();
    let java_is_missing =
        kind == Kind::Official && tools::missing("official servers for Go and Node", JAVA_TOOLS);
    if java_is_missing {
        return;
    }
    let with_go = !tools::missing(&format!("Go client against {name}"), &["go"]);
    let with_node = !tools::missing(&format!("ali-ons against {name}"), &["node", "npm"]);
    if !with_go && !with_node {
        return;
    }
    let cluster = shared(kind);
    let namesrv = cluster.namesrv_addr().to_string();
    let run = |client: &str, prefix: &str, command: anyhow::Result<Command>| {
        let dir = cluster.dir();
        command
            .and_then(|mut command| {
                programs::run(command.args([&namesrv, prefix]), dir, PROGRAM, |_| Ok(()))
            })
            .unwrap_or_else(|error| panic!("{client} against {name}: {error:?}"))
    };
    // Both run before either is judged.
    let go = with_go.then(|| run("Go client", "go", programs::go_client()));
    let node = with_node.then(|| {
        // This client does not send to a topic that has no route yet.
        for topic in ["node_send", "node_many", "node_tags"] {
            cluster.create_topic(topic, 4).expect("topic for ali-ons");
        }
        run("ali-ons", "node", programs::node_client())
    });
    if let Some(reports) = node {
        assert_all_ok("ali-ons 3.12.0", kind, cluster, NODE, &reports);
    }
    if let Some(reports) = go {
        assert_all_ok("Go client 2.1.2", kind, cluster, GO, &reports);
    }
}

#[test]
fn go_and_node_clients_against_official_servers() {
    go_and_node(Kind::Official);
}

#[test]
fn go_and_node_clients_against_our_servers() {
    go_and_node(Kind::Ours);
}
