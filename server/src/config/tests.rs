// SPDX-License-Identifier: Apache-2.0
use super::*;

#[test]
fn a_reference_file_is_taken_with_remarks() {
    let mut config = BrokerConfig::default();
    let text = "brokerClusterName=C1\nbrokerName=broker-b\nflushDiskType=SYNC_FLUSH \nlistenPort=0\n\
                sendMessageThreadPoolNums=16\nbrokerRol=SLAVE\ndeleteWhen=04;16\nbrokerIP1=host.example\n";
    let remarks = config.apply(text).unwrap();
    assert_eq!(
        remarks,
        [
            "the key sendMessageThreadPoolNums has no effect in this server",
            "ignored: unknown key brokerRol, did you mean brokerRole?",
        ]
    );
    assert_eq!(config.flush_disk_type, FlushDiskType::Sync);
    assert_eq!(config.advertised_address(), "host.example:0");
    assert!(config.check().is_ok());
}

#[test]
fn bad_values_name_key_value_and_what_is_allowed() {
    let refused = |key: &str, value: &str| {
        let mut config = BrokerConfig::default();
        match config
            .set(key, value)
            .map(drop)
            .and_then(|()| config.check())
        {
            Ok(()) => panic!("{key}={value} was accepted"),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(
        refused("flushDiskType", "MAYBE"),
        "flushDiskType is 'MAYBE', allowed: ASYNC_FLUSH, SYNC_FLUSH"
    );
    assert_eq!(
        refused("brokerRole", "KING"),
        "brokerRole is 'KING', allowed: ASYNC_MASTER, SYNC_MASTER"
    );
    assert_eq!(
        refused("listenPort", "70000"),
        "listenPort is '70000', allowed: whole numbers from 0 to 65535"
    );
    for (key, value) in [
        ("brokerName", "../up"),
        ("brokerRole", "SLAVE"),
        ("bindAddress", "everywhere"),
        ("namesrvAddr", "no-port"),
        ("messageDelayLevel", "1s 2x"),
        ("deleteWhen", "25"),
        ("autoCreateTopicEnable", "yes"),
        ("defaultTopicQueueNums", "0"),
    ] {
        let line = refused(key, value);
        assert!(
            line.starts_with(&format!("{key} is '{value}', allowed: ")),
            "{line}"
        );
    }
}

#[test]
fn nobody_is_let_in_from_outside_by_default() {
    let mut config = BrokerConfig::default();
    assert!(config.listen_address().ip().is_loopback());
    assert_eq!(config.advertised_address(), "127.0.0.1:10911");
    let remark = loopback_remark(config.bind_address, "broker").unwrap();
    assert!(remark.contains("bindAddress") && !remark.contains('\n'));
    config.set("bindAddress", "0.0.0.0").unwrap();
    assert!(config.listen_address().ip().is_unspecified());
    assert!(loopback_remark(config.bind_address, "broker").is_none());
    assert!(!config.advertised_ip().is_unspecified());
}

#[test]
fn levels_and_name_servers_are_lists() {
    let mut config = BrokerConfig::default();
    let levels = config.delay_levels_ms();
    assert_eq!(
        (levels.len(), levels[0], levels[17]),
        (18, 1_000, 7_200_000)
    );
    config.set("namesrvAddr", "a:9876; [::1]:9877,").unwrap();
    assert_eq!(config.name_servers().unwrap(), ["a:9876", "[::1]:9877"]);
}
