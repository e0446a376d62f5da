// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::config::BrokerConfig;
use crate::store::disk::RealDisk;

const FILE: &str =
    "# ours\nbrokerName = broker-a\nfileReservedTime=48\nmyOwn=1\n\nnamesrvAddr=a:1;\\\n  b:2\n";

fn managed(path: Option<PathBuf>) -> Managed<BrokerConfig> {
    let mut config = BrokerConfig::default();
    if let Some(path) = &path {
        config.apply_file(path).unwrap();
    }
    Managed::new(config, Arc::new(RealDisk::new()), path, "traceOn; x", 5)
}

fn change(managed: &Managed<BrokerConfig>, text: &str) -> Result<Change, ChangeError> {
    managed.change(text.as_bytes(), 9, BrokerConfig::check)
}

#[test]
fn a_change_is_in_effect_and_in_the_file_which_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    std::fs::write(&path, FILE).unwrap();
    let settings = managed(Some(path.clone()));
    let text = "brokerPermission=4\nnamesrvAddr = c:3 \nmaxHashSlotNum=77\nhaListenPort=5\n";
    let done = change(&settings, text).unwrap();
    assert_eq!(done.live, ["brokerPermission", "namesrvAddr"]);
    assert_eq!(done.at_restart, ["maxHashSlotNum"]);
    assert_eq!(done.inert, ["haListenPort"]);
    assert_eq!(
        done.remark().unwrap(),
        "at the next start: maxHashSlotNum; without effect in this server: haListenPort"
    );
    assert_eq!(settings.broker_permission, 4);
    assert_eq!(settings.namesrv_addr, "c:3");
    assert_eq!(
        settings.max_hash_slot_num, 5_000_000,
        "not before a restart"
    );
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "# ours\nbrokerName = broker-a\nfileReservedTime=48\nmyOwn=1\n\nnamesrvAddr=c:3\n\
         brokerPermission=4\nhaListenPort=5\nmaxHashSlotNum=77\n"
    );
    let (text, version) = settings.text();
    for line in [
        "maxHashSlotNum=77",
        "haListenPort=5",
        "myOwn=1",
        "fileReservedTime=48",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} in {text}");
    }
    assert_eq!((version.counter, version.timestamp), (1, 9));
    assert_eq!(managed(Some(path)).max_hash_slot_num, 77, "after a restart");
}

#[test]
fn what_is_refused_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    std::fs::write(&path, FILE).unwrap();
    let settings = managed(Some(path.clone()));
    for (text, remark) in [
        (
            "traceOn=false",
            "traceOn can not be changed remotely, it is in the black list",
        ),
        (
            "storePathRootDir=/etc",
            "storePathRootDir can not be changed remotely: edit the file",
        ),
        (
            "brokerPermision=4",
            "unknown key brokerPermision, did you mean brokerPermission?",
        ),
        (
            "brokerPermission=x",
            "brokerPermission is 'x', allowed: whole numbers",
        ),
        (
            "brokerPermission=9",
            "brokerPermission is '9', allowed: whole numbers from 0 to 7",
        ),
        (
            "namesrvAddr=nowhere",
            "namesrvAddr is 'nowhere', allowed: host:port",
        ),
    ] {
        let both = format!("longPollingEnable=false\n{text}");
        let error = change(&settings, &both).unwrap_err().to_string();
        assert!(error.starts_with(remark), "{error}");
    }
    assert!(settings.long_polling_enable);
    assert_eq!(settings.text().1.counter, 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), FILE);
}

#[test]
fn without_a_file_only_what_takes_effect_at_once_is_taken() {
    let settings = managed(None);
    change(&settings, "longPollingEnable=false").unwrap();
    assert!(!settings.long_polling_enable);
    let error = change(&settings, "maxHashSlotNum=77").unwrap_err();
    assert!(matches!(error, ChangeError::NoFile(_)) && !error.is_forbidden());
    assert!(
        error
            .to_string()
            .starts_with("maxHashSlotNum takes effect at a start only")
    );
}

#[test]
fn a_file_that_can_not_be_written_stops_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    std::fs::write(&path, FILE).unwrap();
    let settings = managed(Some(path.clone()));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = change(&settings, "longPollingEnable=false").unwrap_err();
    assert!(matches!(error, ChangeError::File { .. }), "{error}");
    assert!(settings.long_polling_enable);
}

#[test]
fn long_texts_cost_little() {
    let settings = managed(None);
    let same = "longPollingEnable=false\n".repeat(40_000);
    let done = change(&settings, &same).unwrap();
    assert_eq!(done.live, ["longPollingEnable"]);
    let error = change(&settings, &"{".repeat(1 << 20))
        .unwrap_err()
        .to_string();
    assert!(
        error.len() < 300 && error.contains("1048576 bytes"),
        "{error}"
    );
}
