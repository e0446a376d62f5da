use super::*;
use crate::{Queue, Result};
use std::time::Duration;
#[derive(Clone)]
pub struct PushConsumer;
impl PushConsumer {
    pub async fn start(_o: PushConsumerOptions, _s: Vec<Subscription>) -> Result<Self> {
        todo!()
    }
    pub fn try_poll(&self, _m: u32) -> Result<Vec<Delivery>> {
        todo!()
    }
    pub async fn poll(&self, _m: u32, _w: Duration) -> Result<Vec<Delivery>> {
        todo!()
    }
    pub fn complete(&self, _id: u64, _v: Verdict) -> Result<()> {
        todo!()
    }
    pub fn complete_batch(&self, _v: &[(u64, Verdict)]) -> Result<()> {
        todo!()
    }
    pub fn assigned(&self) -> Vec<Queue> {
        todo!()
    }
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
