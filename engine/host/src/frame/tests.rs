//! What frames promise, on bytes good and bad.

use super::*;
use proptest::prelude::*;

const LIMIT: usize = 64 * 1024;

fn decode_all(bytes: &[u8], cuts: &[usize]) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut from = 0;
    for to in cuts {
        buffer.extend_from_slice(&bytes[from..to]);
        from = to;
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        (0usize..LIMIT).prop_map(|length| vec![7u8; length]),
    ];
    (0..KINDS.len(), 0..PURPOSES.len(), any::<u64>(), 0..=DECLARED_LIMIT, payload).prop_map(
        |(kind, purpose, request, declared, payload)| Frame {
            kind: KINDS[kind],
            purpose: PURPOSES[purpose],
            request,
            declared,
            payload: payload.into(),
        },
    )
}

fn sample(payload: &'static [u8]) -> Frame {
    Frame { kind: Kind::Message, purpose: Purpose::Shuffle, request: 0, declared: 9, payload: payload.into() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn frames_come_back_whole_wherever_the_stream_is_cut(
        frames in proptest::collection::vec(any_frame(), 1..4),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.to_bytes()).collect();
        prop_assert_eq!(decode_all(&bytes, &cuts), (frames, None));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256), cut in any::<usize>()) {
        decode_all(&bytes, &[cut]);
    }

    #[test]
    fn a_changed_bit_never_gives_another_frame(frame in any_frame(), bit in any::<usize>()) {
        let mut bytes = frame.to_bytes().to_vec();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (frames, _) = decode_all(&bytes, &[]);
        prop_assert!(frames.is_empty(), "{frames:?}");
    }
}

#[test]
fn numbers_on_the_wire_are_places_in_the_lists() {
    for (number, kind) in KINDS.iter().enumerate() {
        assert_eq!(*kind as usize, number);
    }
    for (number, purpose) in PURPOSES.iter().enumerate() {
        assert_eq!(usize::from(purpose_number(*purpose)), number);
    }
}

#[test]
fn each_kind_of_damage_has_its_word() {
    type Damage = fn(&mut Vec<u8>);
    let damage: [(&str, Damage); 6] = [
        ("frame-too-long", |bytes| bytes[0..4].copy_from_slice(&(LIMIT as u32 + 1).to_le_bytes())),
        ("frame-not-marked", |bytes| bytes[5] = 0),
        ("frame-kind-unknown", |bytes| bytes[6] = 200),
        ("frame-purpose-unknown", |bytes| bytes[7] = 200),
        ("frame-declares-too-much", |bytes| bytes[23] = 1),
        ("frame-checksum-differs", |bytes| *bytes.last_mut().unwrap() ^= 1),
    ];
    for (word, change) in damage {
        let mut bytes = sample(b"payload").to_bytes().to_vec();
        change(&mut bytes);
        let (frames, error) = decode_all(&bytes, &[]);
        assert_eq!((frames.len(), error.map(FrameError::word)), (0, Some(word)));
        assert_eq!(error.unwrap().to_string(), word);
    }
}

#[test]
fn a_length_above_the_limit_is_refused_before_its_payload_is_awaited() {
    let mut header = sample(b"").header();
    header[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut decoder = Decoder::new(LIMIT);
    let mut buffer = BytesMut::from(&header[..]);
    assert_eq!(decoder.decode(&mut buffer), Err(FrameError::TooLong));
    assert_eq!(decoder.decode(&mut buffer), Err(FrameError::TooLong), "an error is final");
    assert_eq!(decoder.missing(&buffer), 0, "nothing is reserved for it");
}

#[test]
fn progress_counts_what_has_arrived() {
    let bytes = sample(b"0123456789").to_bytes();
    let mut decoder = Decoder::new(LIMIT);
    let mut buffer = BytesMut::from(&bytes[..HEADER_BYTES + 4]);
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert_eq!(decoder.missing(&buffer), 6);
    let charged = 9 + HEADER_BYTES as u64;
    assert_eq!(decoder.progress(&buffer), Some(Progress { charged, have: 32, want: 38 }));
}

#[test]
fn a_large_payload_is_a_slice_of_the_read_buffer() {
    let payload = Bytes::from(vec![3u8; COPY_BELOW]);
    let mut buffer = BytesMut::from(&Frame::control(Kind::Message, payload).to_bytes()[..]);
    let at = buffer[HEADER_BYTES..].as_ptr();
    let frame = Decoder::new(LIMIT).decode(&mut buffer).unwrap().unwrap();
    assert_eq!(frame.payload.as_ptr(), at);
}
