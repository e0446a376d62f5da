// SPDX-License-Identifier: Apache-2.0
//! Step "dispatch" of the data's way: which processor gets a request.
//!
//! Before it: [`crate::net::session`] with all requests of one read. After it: `processor/*`. Sends are collected and
//! appended together under one short lock of the store; any other request first appends what was collected, so the
//! requests of a connection take effect in their order.

use std::sync::Arc;

use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::Broker;
use super::processor::{
    auth_admin, broker_info, cleaning, client, client_query, cold_data, consume_stats, consumer,
    consumption, group_admin, key_value, offset, pop, pull, query, queue_admin, recall,
    replication_info, reply, reset, runtime_info, send, send_back, stats, timer_admin, topic_admin,
};
use super::transaction;
use crate::net::{ConnectionEvent, Outcome, Replies, Request, Service, Session};

impl Service for Broker {
    fn handle(&self, session: &Arc<Session>, requests: &mut Vec<Command>, replies: &mut Replies) {
        let now_ms = self.clock.now_ms();
        let mut batch = self.take_batch();
        for (index, command) in requests.iter().enumerate() {
            if command.is_response() {
                self.client_answered(session, command);
                continue;
            }
            let request = Request {
                command,
                session,
                now_ms,
            };
            match command.request_code() {
                RequestCode::SEND_MESSAGE
                | RequestCode::SEND_MESSAGE_V2
                | RequestCode::SEND_BATCH_MESSAGE => {
                    if let Err(refusal) = send::prepare(self, &request, index, &mut batch) {
                        replies.push(command, send::refuse(self, refusal));
                    }
                }
                RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => {
                    send::append(self, session, requests, &mut batch, replies);
                    pull::handle(self, &request, replies);
                }
                RequestCode::POP_MESSAGE => {
                    send::append(self, session, requests, &mut batch, replies);
                    pop::pop_message(self, &request, replies);
                }
                RequestCode::NOTIFICATION => {
                    send::append(self, session, requests, &mut batch, replies);
                    pop::notification(self, &request, replies);
                }
                code => {
                    send::append(self, session, requests, &mut batch, replies);
                    match dispatch(self, code, &request) {
                        Outcome::Reply(reply) => replies.push(command, reply),
                        Outcome::Parked | Outcome::None => {}
                    }
                }
            }
        }
        send::append(self, session, requests, &mut batch, replies);
        self.put_back(batch);
    }

    fn closed(&self, session: &Arc<Session>) {
        self.long_poll.forget(session);
        self.forget_calls(session);
        self.pop.forget(session);
        client::closed(self, session);
    }

    fn connection(&self, event: ConnectionEvent) {
        self.stats.connection(event);
    }
}

fn dispatch(broker: &Broker, code: RequestCode, request: &Request<'_>) -> Outcome {
    match code {
        RequestCode::CONSUMER_SEND_MSG_BACK => send_back::consumer_send_msg_back(broker, request),
        RequestCode::RECALL_MESSAGE => recall::recall_message(broker, request),
        RequestCode::GET_TIMER_CHECK_POINT => timer_admin::get_timer_check_point(broker, request),
        RequestCode::GET_TIMER_METRICS => timer_admin::get_timer_metrics(broker, request),
        RequestCode::SEND_REPLY_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => {
            reply::send_reply_message(broker, request)
        }
        RequestCode::END_TRANSACTION => transaction::end::end_transaction(broker, request),
        RequestCode::RESUME_CHECK_HALF_MESSAGE => {
            transaction::resume::resume_check_half_message(broker, request)
        }

        RequestCode::GET_CONSUMER_RUNNING_INFO => {
            client_query::get_consumer_running_info(broker, request)
        }
        RequestCode::CONSUME_MESSAGE_DIRECTLY => {
            client_query::consume_message_directly(broker, request)
        }
        RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => {
            client_query::get_consumer_status(broker, request)
        }

        RequestCode::HEART_BEAT => client::heart_beat(broker, request),
        RequestCode::UNREGISTER_CLIENT => client::unregister_client(broker, request),
        RequestCode::CHECK_CLIENT_CONFIG => client::check_client_config(broker, request),
        RequestCode::GET_CONSUMER_CONNECTION_LIST => {
            client::get_consumer_connection_list(broker, request)
        }
        RequestCode::GET_PRODUCER_CONNECTION_LIST => {
            client::get_producer_connection_list(broker, request)
        }

        RequestCode::GET_ALL_PRODUCER_INFO => client::get_all_producer_info(broker, request),

        RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
            consumer::get_consumer_list_by_group(broker, request)
        }
        RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => {
            consumer::query_topic_consume_by_who(broker, request)
        }
        RequestCode::QUERY_TOPICS_BY_CONSUMER => {
            consumer::query_topics_by_consumer(broker, request)
        }
        RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER => {
            consumer::query_subscription_by_consumer(broker, request)
        }
        RequestCode::LOCK_BATCH_MQ => consumer::lock_batch_mq(broker, request),
        RequestCode::UNLOCK_BATCH_MQ => consumer::unlock_batch_mq(broker, request),

        RequestCode::ACK_MESSAGE => pop::ack_message(broker, request),
        RequestCode::BATCH_ACK_MESSAGE => pop::batch_ack_message(broker, request),
        RequestCode::CHANGE_MESSAGE_INVISIBLETIME => pop::change_invisible_time(broker, request),
        RequestCode::PEEK_MESSAGE => pop::peek_message(broker, request),
        RequestCode::POLLING_INFO => pop::polling_info(broker, request),
        RequestCode::QUERY_ASSIGNMENT => pop::query_assignment(broker, request),
        RequestCode::SET_MESSAGE_REQUEST_MODE => pop::set_message_request_mode(broker, request),
        RequestCode::GET_ALL_MESSAGE_REQUEST_MODE => {
            pop::get_all_message_request_mode(broker, request)
        }

        RequestCode::QUERY_CONSUMER_OFFSET => offset::query_consumer_offset(broker, request),
        RequestCode::UPDATE_CONSUMER_OFFSET => offset::update_consumer_offset(broker, request),
        RequestCode::GET_ALL_CONSUMER_OFFSET => offset::get_all_consumer_offset(broker, request),
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => {
            offset::search_offset_by_timestamp(broker, request)
        }
        RequestCode::GET_MAX_OFFSET => offset::get_max_offset(broker, request),
        RequestCode::GET_MIN_OFFSET => offset::get_min_offset(broker, request),
        RequestCode::GET_EARLIEST_MSG_STORETIME => {
            offset::get_earliest_msg_storetime(broker, request)
        }
        RequestCode::GET_TOPIC_STATS_INFO => offset::get_topic_stats_info(broker, request),

        RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => reset::reset_offset(broker, request),
        RequestCode::CLONE_GROUP_OFFSET => reset::clone_group_offset(broker, request),
        RequestCode::QUERY_CONSUME_TIME_SPAN => {
            consumption::query_consume_time_span(broker, request)
        }
        RequestCode::QUERY_CORRECTION_OFFSET => {
            consumption::query_correction_offset(broker, request)
        }
        RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN => {
            consumption::update_and_get_group_forbidden(broker, request)
        }
        RequestCode::GET_CONSUME_STATS => consume_stats::get_consume_stats(broker, request),
        RequestCode::GET_BROKER_CONSUME_STATS => {
            consume_stats::get_broker_consume_stats(broker, request)
        }
        RequestCode::QUERY_CONSUME_QUEUE => queue_admin::query_consume_queue(broker, request),
        RequestCode::GET_ALL_DELAY_OFFSET => queue_admin::get_all_delay_offset(broker, request),
        RequestCode::VIEW_BROKER_STATS_DATA => stats::view_broker_stats_data(broker, request),

        RequestCode::VIEW_MESSAGE_BY_ID => query::view_message_by_id(broker, request),
        RequestCode::QUERY_MESSAGE => query::query_message(broker, request),

        RequestCode::UPDATE_AND_CREATE_TOPIC => {
            topic_admin::update_and_create_topic(broker, request)
        }
        RequestCode::UPDATE_AND_CREATE_TOPIC_LIST => {
            topic_admin::update_and_create_topic_list(broker, request)
        }
        RequestCode::DELETE_TOPIC_IN_BROKER => topic_admin::delete_topic_in_broker(broker, request),
        RequestCode::GET_ALL_TOPIC_CONFIG => topic_admin::get_all_topic_config(broker, request),
        RequestCode::GET_TOPIC_CONFIG => topic_admin::get_topic_config(broker, request),
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => {
            topic_admin::get_system_topic_list_from_broker(broker, request)
        }

        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => {
            group_admin::update_and_create_subscriptiongroup(broker, request)
        }
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => {
            group_admin::update_and_create_subscriptiongroup_list(broker, request)
        }
        RequestCode::DELETE_SUBSCRIPTIONGROUP => {
            group_admin::delete_subscriptiongroup(broker, request)
        }
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => {
            group_admin::get_all_subscriptiongroup_config(broker, request)
        }
        RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG => {
            group_admin::get_subscriptiongroup_config(broker, request)
        }

        RequestCode::GET_BROKER_CONFIG => broker_info::get_broker_config(broker, request),
        RequestCode::UPDATE_BROKER_CONFIG => broker_info::update_broker_config(broker, request),
        RequestCode::GET_BROKER_RUNTIME_INFO => {
            runtime_info::get_broker_runtime_info(broker, request)
        }

        RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE => {
            cleaning::clean_expired_consumequeue(broker, request)
        }
        RequestCode::DELETE_EXPIRED_COMMITLOG => {
            cleaning::delete_expired_commitlog(broker, request)
        }
        RequestCode::CLEAN_UNUSED_TOPIC => cleaning::clean_unused_topic(broker, request),

        RequestCode::UPDATE_COLD_DATA_FLOW_CTR_CONFIG => {
            cold_data::update_cold_data_flow_ctr_config(broker, request)
        }
        RequestCode::REMOVE_COLD_DATA_FLOW_CTR_CONFIG => {
            cold_data::remove_cold_data_flow_ctr_config(broker, request)
        }
        RequestCode::GET_COLD_DATA_FLOW_CTR_INFO => {
            cold_data::get_cold_data_flow_ctr_info(broker, request)
        }
        RequestCode::SET_COMMITLOG_READ_MODE => cold_data::set_commitlog_read_mode(broker, request),

        RequestCode::GET_BROKER_HA_STATUS => {
            replication_info::get_broker_ha_status(broker, request)
        }
        RequestCode::RESET_MASTER_FLUSH_OFFSET => {
            replication_info::reset_master_flush_offset(broker, request)
        }
        RequestCode::GET_BROKER_EPOCH_CACHE => {
            replication_info::get_broker_epoch_cache(broker, request)
        }

        RequestCode::EXPORT_ROCKSDB_CONFIG_TO_JSON => {
            key_value::export_rocksdb_config_to_json(broker, request)
        }
        RequestCode::CHECK_ROCKSDB_CQ_WRITE_PROGRESS => {
            key_value::check_rocksdb_cq_write_progress(broker, request)
        }
        RequestCode::POP_ROLLBACK => key_value::pop_rollback(broker, request),

        RequestCode::AUTH_CREATE_USER
        | RequestCode::AUTH_UPDATE_USER
        | RequestCode::AUTH_DELETE_USER
        | RequestCode::AUTH_GET_USER
        | RequestCode::AUTH_LIST_USER
        | RequestCode::AUTH_CREATE_ACL
        | RequestCode::AUTH_UPDATE_ACL
        | RequestCode::AUTH_DELETE_ACL
        | RequestCode::AUTH_GET_ACL
        | RequestCode::AUTH_LIST_ACL => auth_admin::without_provider(broker, request),

        code => Outcome::Reply(
            Command::response(ResponseCode::REQUEST_CODE_NOT_SUPPORTED)
                .with_remark(format!(" request type {} not supported", code.0)),
        ),
    }
}

impl Broker {
    fn take_batch(&self) -> send::SendBatch {
        let spare = self.batches.get_or_default().take();
        spare.unwrap_or_else(|| send::SendBatch::new(&self.store))
    }

    fn put_back(&self, batch: send::SendBatch) {
        self.batches.get_or_default().set(Some(batch));
    }
}
