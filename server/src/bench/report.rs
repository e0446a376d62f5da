// SPDX-License-Identifier: Apache-2.0
//! The result of a run: a table for people, JSON for programs.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::verify::Verified;
use super::{Args, WorkloadKind, println_stdout};

/// What a run measured.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) seconds: f64,
    pub(super) messages: u64,
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    pub(super) damaged: u64,
    /// Nanoseconds a request.
    pub(super) latency: Histogram<u64>,
    pub(super) server_cpu_seconds: Option<f64>,
    pub(super) own_cpu_seconds: Option<f64>,
    pub(super) server_anonymous_mib: Option<f64>,
    /// Ranges of acknowledged numbers, warm-up included.
    pub(super) acknowledged: Vec<(u64, u32)>,
    pub(super) verified: Option<Verified>,
}

impl Report {
    fn per_message_us(&self, seconds: Option<f64>) -> Option<f64> {
        (self.messages > 0).then_some(())?;
        Some(seconds? * 1e6 / self.messages as f64)
    }

    fn quantile_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Why the run does not count.
    pub(super) fn damage(&self) -> Option<String> {
        if self.errors > 0 {
            let first = self.first_error.as_deref().unwrap_or("unknown");
            return Some(format!(
                "{} requests failed, the first with {first}",
                self.errors
            ));
        }
        if self.damaged > 0 {
            return Some(format!("{} pulled bodies are damaged", self.damaged));
        }
        match &self.verified {
            Some(v) if v.missing + v.doubled + v.damaged > 0 => Some(format!(
                "of {} acknowledged messages {} are missing and {} doubled, {} bodies are damaged",
                v.acknowledged, v.missing, v.doubled, v.damaged
            )),
            _ => None,
        }
    }

    pub(super) fn to_json(&self, args: &Args) -> Value {
        json!({
            "workload": match args.workload { WorkloadKind::Send => "send", WorkloadKind::Pull => "pull" },
            "connections": args.connections,
            "in_flight": args.in_flight,
            "body": args.body,
            "batch": args.batch,
            "header": args.header.serialize_type().name(),
            "rate": args.rate,
            "seconds": self.seconds,
            "messages": self.messages,
            "requests": self.requests,
            "errors": self.errors,
            "messages_per_second": self.messages as f64 / self.seconds,
            "server_cpu_us_per_message": self.per_message_us(self.server_cpu_seconds),
            "generator_cpu_us_per_message": self.per_message_us(self.own_cpu_seconds),
            "server_anonymous_mib": self.server_anonymous_mib,
            "latency_us": {
                "p50": self.quantile_us(0.5),
                "p90": self.quantile_us(0.9),
                "p99": self.quantile_us(0.99),
                "p999": self.quantile_us(0.999),
                "max": self.latency.max() as f64 / 1e3,
            },
            "verified": self.verified,
        })
    }

    pub(super) fn print(&self, args: &Args) {
        let workload = match args.workload {
            WorkloadKind::Send => "send",
            WorkloadKind::Pull => "pull",
        };
        let mut lines = vec![
            format!(
                "{workload}: {} connections x {} in flight, {}-byte bodies, {} a request, {} headers",
                args.connections,
                args.in_flight,
                args.body,
                args.batch,
                args.header.serialize_type().name()
            ),
            format!(
                "messages     {:>12}   in {:.2} s",
                self.messages, self.seconds
            ),
            format!("messages/s   {:>12.0}", self.messages as f64 / self.seconds),
        ];
        if let Some(cpu) = self.per_message_us(self.server_cpu_seconds) {
            lines.push(format!("server CPU   {cpu:>12.3} us a message"));
        }
        if let Some(cpu) = self.per_message_us(self.own_cpu_seconds) {
            lines.push(format!("load CPU     {cpu:>12.3} us a message"));
        }
        if let Some(memory) = self.server_anonymous_mib {
            lines.push(format!("anonymous    {memory:>12.1} MiB in the server"));
        }
        lines.push(format!(
            "latency us   p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0}",
            self.quantile_us(0.5),
            self.quantile_us(0.9),
            self.quantile_us(0.99),
            self.quantile_us(0.999),
            self.latency.max() as f64 / 1e3
        ));
        if let Some(v) = &self.verified {
            lines.push(format!(
                "checked      {:>12} acknowledged, {} missing, {} doubled, {} damaged",
                v.acknowledged, v.missing, v.doubled, v.damaged
            ));
        }
        println_stdout(&lines.join("\n"));
    }
}
