mod options;
use crate::Result;
pub use options::AdminOptions;
#[derive(Clone)]
pub struct Admin;
impl Admin {
    pub async fn start(_o: AdminOptions) -> Result<Self> {
        todo!()
    }
    pub async fn create_topic_on(&self, _t: &str, _q: i32, _on: Option<&str>) -> Result<()> {
        todo!()
    }
    pub async fn delete_topic(&self, _t: &str) -> Result<()> {
        todo!()
    }
    pub async fn topic_list(&self) -> Result<Vec<String>> {
        todo!()
    }
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
