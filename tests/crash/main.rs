// SPDX-License-Identifier: Apache-2.0
//! Rung 5 of the ladder of tests: our server is killed, started twice, and configured wrongly.
#![forbid(unsafe_code)]

mod big_log;
mod full_disk;
mod keys;
mod kill;
mod ledger;
mod many_queues;
mod message;
mod reader;
mod refusals;
mod rounds;
mod sender;
mod small_disk;
mod store_of_many;
mod victim;
