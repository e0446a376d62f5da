// SPDX-License-Identifier: Apache-2.0
use proptest::prelude::*;

use super::*;

fn bytes(parts: &[&[u8]]) -> BytesMut {
    BytesMut::from(parts.concat().as_slice())
}

#[test]
fn incomplete_frames_wait_for_more() {
    let whole = bytes(&[&[0, 0, 0, 9], &[1, 0, 0, 3], b"abc", b"xy"]);
    for cut in 0..whole.len() {
        let mut part = BytesMut::from(&whole[..cut]);
        assert_eq!(split(&mut part), Ok(None), "cut at {cut}");
        assert_eq!(part.len(), cut, "nothing is consumed");
    }
    let mut buf = whole;
    let frame = split(&mut buf).unwrap().unwrap();
    assert_eq!(frame.serialize_type, SerializeType::RocketMq);
    assert_eq!(
        (&frame.header[..], &frame.body[..]),
        (&b"abc"[..], &b"xy"[..])
    );
    assert!(buf.is_empty());
}

#[test]
fn illegal_lengths_are_refused_before_the_bytes_arrive() {
    let mut huge = bytes(&[&[0x7F, 0xFF, 0xFF, 0xFF]]);
    assert!(matches!(split(&mut huge), Err(FrameError::Length { .. })));
    let mut negative = bytes(&[&[0xFF, 0xFF, 0xFF, 0xFF]]);
    assert!(matches!(
        split(&mut negative),
        Err(FrameError::Length { .. })
    ));
    let mut header = bytes(&[&[0, 0, 0, 8], &[0, 0, 0, 5]]);
    assert_eq!(
        split(&mut header),
        Err(FrameError::HeaderLength {
            header: 5,
            available: 4
        })
    );
    let mut encoding = bytes(&[&[0, 0, 0, 8], &[7, 0, 0, 0]]);
    assert_eq!(split(&mut encoding), Err(FrameError::SerializeType(7)));
}

#[test]
fn the_largest_frame_is_sixteen_mebibytes() {
    let length = i32::try_from(MAX_FRAME_LENGTH - 4).unwrap();
    let mut fits = bytes(&[&length.to_be_bytes(), &[0, 0, 0, 0]]);
    assert_eq!(split(&mut fits), Ok(None));
    let mut over = bytes(&[&(length + 1).to_be_bytes(), &[0, 0, 0, 0]]);
    assert!(split(&mut over).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_an_error_or_too_few(input in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut buf = BytesMut::from(input.as_slice());
        drop(split(&mut buf));
    }
}
