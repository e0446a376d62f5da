// SPDX-License-Identifier: Apache-2.0
//! Sends each line of standard input, or a number of lines, to a topic; several at a time.
//!
//! `cargo run -p kerolox --example send -- TOPIC [COUNT [IN_FLIGHT]]`, name servers from `NAMESRV_ADDR`.

use std::collections::VecDeque;
use std::io::BufRead as _;
use std::time::Instant;

use kerolox::facade::{Call, Producer};
use kerolox::producer::ProducerOptions;
use kerolox::{Message, Result, SendResult};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let topic = arguments.get(1).map_or("TopicTest", String::as_str);
    let count: Option<usize> = arguments.get(2).and_then(|count| count.parse().ok());
    let in_flight = arguments
        .get(3)
        .and_then(|number| number.parse().ok())
        .unwrap_or(64);
    let lines: Vec<String> = match count {
        Some(count) => (0..count).map(|number| format!("{number:0128}")).collect(),
        None => std::io::stdin()
            .lock()
            .lines()
            .map_while(std::result::Result::ok)
            .collect(),
    };
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();

    let begin = Instant::now();
    let producer = done(Producer::start(ProducerOptions::default()))?;
    let sent = lines.len();
    let mut outstanding: VecDeque<Call<SendResult>> = VecDeque::with_capacity(in_flight);
    for (number, line) in lines.into_iter().enumerate() {
        if outstanding.len() == in_flight
            && let Some(call) = outstanding.pop_front()
        {
            done(call)?;
        }
        outstanding.push_back(producer.send(Message::new(topic, line)));
        if number == 0 {
            let first = outstanding.pop_front().map(done).transpose()?;
            if let Some(first) = first {
                eprintln!(
                    "first after {:?}: {} in {}",
                    begin.elapsed(),
                    first.message_id,
                    first.queue()
                );
            }
        }
    }
    for call in outstanding {
        done(call)?;
    }
    let elapsed = begin.elapsed();
    eprintln!(
        "{sent} sent in {elapsed:?}, {:.0} a second",
        sent as f64 / elapsed.as_secs_f64()
    );
    done(producer.close())
}

fn done<T: Send + 'static>(call: Call<T>) -> Result<T> {
    loop {
        if let Some(result) = call.wait(None) {
            return result;
        }
    }
}
