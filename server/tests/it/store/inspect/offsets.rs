// SPDX-License-Identifier: Apache-2.0
//! The broker's tables: offsets and topics.

use std::fs;

use kerolox_server::store::inspect::{Finding, Note, StoreLayout};

use super::{assert_clean, only, reference, verify};

fn write(layout: &StoreLayout, name: &str, content: &str) -> String {
    let path = layout.root_dir.join("config").join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn offsets_outside_their_queues() {
    let (_dir, layout) = reference("clean");
    let file = write(
        &layout,
        "consumerOffset.json",
        r#"{"offsetTable":{"golden_main@g":{0:50,1:51,2:-1},"gone@g":{0:3,1:0}}}"#,
    );
    let report = verify(&layout);
    let beyond = Finding::OffsetBeyondMax {
        file,
        group: "g".to_owned(),
        topic: "golden_main".to_owned(),
        queue_id: 1,
        offset: 51,
        max: 50,
    };
    assert_eq!(*only(&report), beyond);
    let below = Note::OffsetBelowMin {
        group: "g".to_owned(),
        topic: "golden_main".to_owned(),
        queue_id: 2,
        offset: -1,
        min: 0,
    };
    let nowhere = Note::OffsetOfNoQueue {
        group: "g".to_owned(),
        topic: "gone".to_owned(),
        queue_id: 0,
        offset: 3,
    };
    assert_eq!(report.notes, [below, nowhere]);
}

#[test]
fn delay_levels_outside_their_queues() {
    let (_dir, layout) = reference("clean");
    write(
        &layout,
        "delayOffset.json",
        "{\"offsetTable\":{1:3,18:1\n}}",
    );
    let report = verify(&layout);
    assert!(matches!(
        only(&report),
        Finding::OffsetBeyondMax { queue_id: 0, offset: 3, max: 2, group, .. } if group == "delay level 1"
    ));
}

#[test]
fn tables_that_are_no_json_are_named_and_their_predecessors_taken() {
    let (_dir, layout) = reference("clean");
    for name in ["consumerOffset.json", "delayOffset.json", "topics.json"] {
        let path = layout.root_dir.join("config").join(name);
        let whole = fs::read_to_string(&path).unwrap();
        for garbage in [
            "",
            "{",
            "\u{0}\u{0}",
            "[1,2]",
            "{\"offsetTable\":7,\"topicConfigTable\":7}",
        ] {
            let file = write(&layout, name, garbage);
            let report = verify(&layout);
            assert!(matches!(only(&report), Finding::Table { file: found, .. } if *found == file));
            assert_eq!(report.notes, [], "topics come from the predecessor");
        }
        let backup = write(&layout, &format!("{name}.bak"), "x");
        assert_eq!(verify(&layout).counts["table"], 2);
        write(&layout, name, &whole);
        assert_clean(&verify(&layout));
        fs::remove_file(path).unwrap();
        assert!(matches!(only(&verify(&layout)), Finding::Table { file, .. } if *file == backup));
        fs::remove_file(backup).unwrap();
        assert_clean(&verify(&layout));
    }
}
