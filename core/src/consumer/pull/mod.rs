use super::*;
use crate::{Queue, Result};
use std::time::Duration;
#[derive(Clone)]
pub struct PullConsumer;
impl PullConsumer {
    pub async fn start(_o: PullConsumerOptions) -> Result<Self> {
        todo!()
    }
    pub async fn queues(&self, _t: &str) -> Result<Vec<Queue>> {
        todo!()
    }
    pub fn assign(&self, _q: Vec<Queue>) -> Result<()> {
        todo!()
    }
    pub fn filter(&self, _t: &str, _e: &str) -> Result<()> {
        todo!()
    }
    pub async fn seek(&self, _q: &Queue, _o: i64) -> Result<()> {
        todo!()
    }
    pub async fn seek_to_begin(&self, _q: &Queue) -> Result<()> {
        todo!()
    }
    pub async fn seek_to_end(&self, _q: &Queue) -> Result<()> {
        todo!()
    }
    pub fn try_poll(&self, _m: u32) -> Result<Vec<ReceivedMessage>> {
        todo!()
    }
    pub async fn poll(&self, _m: u32, _w: Duration) -> Result<Vec<ReceivedMessage>> {
        todo!()
    }
    pub async fn commit(&self) -> Result<()> {
        todo!()
    }
    pub async fn committed(&self, _q: &Queue) -> Result<Option<i64>> {
        todo!()
    }
    pub async fn min_offset(&self, _q: &Queue) -> Result<i64> {
        todo!()
    }
    pub async fn max_offset(&self, _q: &Queue) -> Result<i64> {
        todo!()
    }
    pub async fn offset_by_time(&self, _q: &Queue, _t: i64) -> Result<i64> {
        todo!()
    }
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
