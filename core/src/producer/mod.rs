mod options;
use crate::{Message, Queue, Result, SendResult};
pub use options::ProducerOptions;
#[derive(Clone)]
pub struct Producer;
impl Producer {
    pub async fn start(_o: ProducerOptions) -> Result<Self> {
        todo!()
    }
    pub async fn send(&self, _m: Message) -> Result<SendResult> {
        todo!()
    }
    pub async fn send_to_queue(&self, _m: Message, _q: &Queue) -> Result<SendResult> {
        todo!()
    }
    pub async fn send_oneway(&self, _m: Message) -> Result<()> {
        todo!()
    }
    pub async fn send_batch(&self, _m: Vec<Message>) -> Result<SendResult> {
        todo!()
    }
    pub async fn queues(&self, _t: &str) -> Result<Vec<Queue>> {
        todo!()
    }
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
