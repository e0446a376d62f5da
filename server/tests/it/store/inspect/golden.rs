// SPDX-License-Identifier: Apache-2.0
//! The reference's stores are clean, whatever a kill leaves.

use kerolox_server::store::inspect::Note;

use super::{assert_clean, has_note, reference, snapshot, verify};

#[test]
fn stores_of_the_reference_are_clean_and_stay_untouched() {
    for (kind, records, keys) in [("clean", 224, 642), ("killed", 245, 705)] {
        let (dir, layout) = reference(kind);
        let before = snapshot(dir.path());
        let report = verify(&layout);
        assert_clean(&report);
        let summary = &report.summary;
        assert_eq!((summary.records, summary.units), (records, records));
        assert_eq!((summary.keys, summary.index_entries), (keys, keys));
        assert_eq!((summary.segments, summary.segment_len), (2, 1_048_576));
        assert!(summary.offsets >= 10);
        let pid = Some(3362);
        let is_killed = has_note(&report, |note| *note == Note::NotShutDown { pid });
        assert_eq!(is_killed, kind == "killed", "{report:#?}");
        assert_eq!(report.notes.len(), usize::from(is_killed), "{report:#?}");
        assert!(snapshot(dir.path()) == before, "something was changed");
    }
}
