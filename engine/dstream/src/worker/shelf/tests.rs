//! The shelf beside a disk that the tests play.

use super::*;
use crate::worker::memory::Memory;
use dstream_host::BoxFuture;
use dstream_trace::Moment;

/// A clock that never goes on.
pub(in crate::worker) struct Standing;

impl Clock for Standing {
    fn now(&self) -> Moment {
        Moment::ZERO
    }

    fn sleep_until(&self, _when: Moment) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A shelf for two words of four bytes.
fn shelf() -> Shelf {
    Shelf::limited(Box::new(Memory::new(8)), Arc::new(Standing))
}

fn word(word: &'static str) -> Vec<Bytes> {
    let (one, other) = word.split_at(1);
    vec![Bytes::from_static(one.as_bytes()), Bytes::from_static(other.as_bytes())]
}

/// The disk takes all that it is given.
fn write_all(shelf: &mut Shelf) -> BTreeMap<Thing, Vec<u8>> {
    let mut disk = BTreeMap::new();
    while let Some(next) = shelf.next_write() {
        match next {
            Move::Write(thing, parts, _) => {
                disk.insert(thing, parts.concat());
                shelf.moved(Moved::Written(thing, true));
            }
            Move::Remove(thing) => _ = disk.remove(&thing),
            Move::Read(..) => panic!("a read among writes"),
        }
    }
    disk
}

fn lent(shelf: &mut Shelf, thing: Thing) -> Option<Vec<Bytes>> {
    let pin = shelf.pin(thing);
    (!shelf.is_coming(&pin)).then(|| shelf.lend(&pin))?
}

#[test]
fn what_is_lent_stays_until_its_last_copy_goes_and_then_leaves() {
    let mut shelf = shelf();
    let first = shelf.keep(word("abcd"), 4);
    let bytes = lent(&mut shelf, first).unwrap();
    for more in ["efgh", "ijkl", "mnop"] {
        shelf.keep(word(more), 4);
        write_all(&mut shelf);
    }
    let part = bytes[1].slice(1..);
    drop(bytes);
    shelf.keep(word("qrst"), 4);
    assert!(lent(&mut shelf, first).is_some(), "a part of it is lent");
    write_all(&mut shelf);
    drop(part);
    write_all(&mut shelf);
    for more in ["uvwx", "yzab", "cdef"] {
        shelf.keep(word(more), 4);
        write_all(&mut shelf);
    }
    assert!(lent(&mut shelf, first).is_none(), "nobody has it, and it is the oldest");
}

#[test]
fn what_left_comes_back_in_its_parts() {
    let mut shelf = shelf();
    let first = shelf.keep(word("abcd"), 4);
    for more in ["efgh", "ijkl"] {
        shelf.keep(word(more), 4);
    }
    let disk = write_all(&mut shelf);
    let pin = shelf.pin(first);
    assert!(shelf.is_coming(&pin));
    let Some(Move::Read(thing, 4)) = shelf.next_read() else { panic!("it is asked for") };
    let event = shelf.moved(Moved::Read(thing, Some(Bytes::from(disk[&thing].clone()))));
    assert_eq!(event, Some(Event::Loaded { bytes: 4, most_held: 12 }));
    assert_eq!(shelf.lend(&pin), Some(word("abcd")));
}

#[test]
fn a_disk_that_refuses_loses_nothing() {
    let mut shelf = shelf();
    let things = ["abcd", "efgh", "ijkl"].map(|text| shelf.keep(word(text), 4));
    for _ in 0..5 {
        let Some(Move::Write(thing, ..)) = shelf.next_write() else { panic!("it is tried again") };
        assert_eq!(shelf.moved(Moved::Written(thing, false)), None);
    }
    assert!(things.iter().all(|thing| lent(&mut shelf, *thing).is_some()));
}

#[test]
fn what_the_disk_does_not_give_or_gives_in_part_nobody_has() {
    for found in [None, Some(Bytes::from_static(b"ab"))] {
        let mut shelf = shelf();
        let first = shelf.keep(word("abcd"), 4);
        for more in ["efgh", "ijkl"] {
            shelf.keep(word(more), 4);
        }
        write_all(&mut shelf);
        let pin = shelf.pin(first);
        let Some(Move::Read(thing, _)) = shelf.next_read() else { panic!("it is asked for") };
        assert_eq!(shelf.moved(Moved::Read(thing, found)), None);
        assert!(!shelf.is_coming(&pin) && shelf.lend(&pin).is_none());
    }
}

#[test]
fn what_is_forgotten_before_its_turn_is_not_written() {
    let mut shelf = shelf();
    let things = ["abcd", "efgh", "ijkl"].map(|text| shelf.keep(word(text), 4));
    things.into_iter().for_each(|thing| shelf.forget(thing));
    assert!(shelf.next_write().is_none() && shelf.things.is_empty());
}

#[test]
fn what_is_forgotten_leaves_the_disk() {
    let mut shelf = shelf();
    let things = ["abcd", "efgh", "ijkl"].map(|text| shelf.keep(word(text), 4));
    let on_disk = write_all(&mut shelf).len();
    things.into_iter().for_each(|thing| shelf.forget(thing));
    let removed = std::iter::from_fn(|| shelf.next_write()).filter(|next| matches!(next, Move::Remove(_))).count();
    assert!(on_disk > 0 && removed == on_disk && shelf.things.is_empty());
}
