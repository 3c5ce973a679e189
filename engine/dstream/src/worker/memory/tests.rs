//! The policy beside a model of what is where, which knows no order and no limit: it only does what it is told.

use super::*;
use proptest::prelude::*;

const LIMIT: u64 = 100;

/// What a worker and its disk really have.
#[derive(Default)]
struct World {
    sizes: BTreeMap<Thing, u64>,
    in_memory: BTreeSet<Thing>,
    on_disk: BTreeSet<Thing>,
    readers: BTreeMap<Thing, u32>,
    /// Told to be written or read; the answer is still to come.
    writing: BTreeSet<Thing>,
    reading: BTreeSet<Thing>,
    known: BTreeSet<Thing>,
    /// Things that can be made again.
    caches: BTreeSet<Thing>,
}

impl World {
    fn step(&mut self, memory: &mut Memory, event: MemoryEvent) {
        let mut actions = Vec::new();
        memory.step(Moment::ZERO, event, &mut actions);
        actions.into_iter().for_each(|action| self.perform(action));
        self.check();
    }

    fn perform(&mut self, action: MemoryAction) {
        match action {
            MemoryAction::Write(thing) => {
                assert!(!self.caches.contains(&thing), "{action:?} of what can be made again");
                assert!(self.in_memory.contains(&thing) && !self.on_disk.contains(&thing), "{action:?}");
                assert!(self.writing.insert(thing), "{action:?} twice");
            }
            MemoryAction::Read(thing) => {
                assert!(self.on_disk.contains(&thing) && !self.in_memory.contains(&thing), "{action:?}");
                assert!(self.reading.insert(thing), "{action:?} twice");
            }
            MemoryAction::Drop(thing) => {
                assert!(self.in_memory.remove(&thing), "{action:?}");
                assert!(!self.is_read(thing), "{thing} is read");
                if self.caches.contains(&thing) {
                    self.known.remove(&thing);
                }
                assert!(self.on_disk.contains(&thing) || !self.known.contains(&thing), "{thing} is nowhere else");
            }
            MemoryAction::Remove(thing) => {
                assert!(self.on_disk.remove(&thing), "{action:?}");
                assert!(!self.known.contains(&thing), "{thing} may be asked for");
            }
            MemoryAction::Lost(thing) => {
                self.known.remove(&thing);
                self.readers.remove(&thing);
            }
        }
    }

    fn is_read(&self, thing: Thing) -> bool {
        self.readers.get(&thing).is_some_and(|readers| *readers > 0)
    }

    fn check(&self) {
        for thing in &self.known {
            assert!(self.in_memory.contains(thing) || self.on_disk.contains(thing), "{thing} is lost");
        }
        let here = self.in_memory.union(&self.reading);
        let staying: u64 = here.filter(|thing| !self.writing.contains(thing)).map(|thing| self.sizes[thing]).sum();
        let idle = |thing: &&Thing| !self.is_read(**thing) && !self.writing.contains(thing);
        assert!(
            staying <= LIMIT || self.in_memory.iter().filter(idle).count() == 0,
            "{staying} bytes stay in memory, and not all of them are read"
        );
        let left: BTreeSet<&Thing> = self.in_memory.union(&self.on_disk).collect();
        let in_use = |thing: &Thing| self.known.contains(thing) || self.is_read(*thing) || self.is_moved(thing);
        assert!(left.iter().all(|thing| in_use(thing)), "what is forgotten stays");
    }

    fn is_moved(&self, thing: &Thing) -> bool {
        self.writing.contains(thing) || self.reading.contains(thing)
    }
}

/// A number stands for one of those to which it can happen now.
fn nth(things: impl Iterator<Item = Thing>, number: usize) -> Option<Thing> {
    let things: Vec<Thing> = things.collect();
    things.get(number.checked_rem(things.len())?).copied()
}

#[derive(Clone, Debug)]
enum Happening {
    Keep(u64),
    Cache(u64),
    Pin(usize),
    Release(usize),
    Forget(usize),
    DiskWrites(usize, bool),
    DiskReads(usize, bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let done = || prop::bool::weighted(0.9);
    prop_oneof![
        4 => (1..60u64).prop_map(Happening::Keep),
        2 => (1..60u64).prop_map(Happening::Cache),
        4 => any::<usize>().prop_map(Happening::Pin),
        4 => any::<usize>().prop_map(Happening::Release),
        1 => any::<usize>().prop_map(Happening::Forget),
        4 => (any::<usize>(), done()).prop_map(|(thing, done)| Happening::DiskWrites(thing, done)),
        4 => (any::<usize>(), done()).prop_map(|(thing, done)| Happening::DiskReads(thing, done)),
    ]
}

fn happen(world: &mut World, memory: &mut Memory, happening: &Happening, next: Thing) -> Option<()> {
    let event = match happening {
        Happening::Keep(bytes) => {
            world.sizes.insert(next, *bytes);
            world.in_memory.insert(next);
            world.known.insert(next);
            MemoryEvent::Kept { thing: next, bytes: *bytes }
        }
        Happening::Cache(bytes) => {
            world.sizes.insert(next, *bytes);
            world.in_memory.insert(next);
            world.caches.insert(next);
            world.known.insert(next);
            MemoryEvent::Cached { thing: next, bytes: *bytes }
        }
        Happening::Pin(number) => {
            let thing = nth(world.known.iter().copied(), *number)?;
            *world.readers.entry(thing).or_default() += 1;
            MemoryEvent::Pinned(thing)
        }
        Happening::Release(number) => {
            // Whoever waits for the disk holds on.
            let read = world.readers.iter().filter(|(thing, readers)| **readers > 0 && !world.reading.contains(thing));
            let thing = nth(read.map(|(thing, _)| *thing), *number)?;
            *world.readers.get_mut(&thing)? -= 1;
            MemoryEvent::Released(thing)
        }
        Happening::Forget(number) => {
            let thing = nth(world.known.iter().copied(), *number)?;
            world.known.remove(&thing);
            MemoryEvent::Forgotten(thing)
        }
        Happening::DiskWrites(number, done) => {
            let thing = nth(world.writing.iter().copied(), *number)?;
            world.writing.remove(&thing);
            if *done {
                world.on_disk.insert(thing);
            }
            MemoryEvent::Written { thing, done: *done }
        }
        Happening::DiskReads(number, done) => {
            let thing = nth(world.reading.iter().copied(), *number)?;
            world.reading.remove(&thing);
            if *done {
                world.in_memory.insert(thing);
            }
            MemoryEvent::Read { thing, done: *done }
        }
    };
    world.step(memory, event);
    Some(())
}

proptest! {
    #[test]
    fn nothing_is_lost_what_is_read_stays_and_the_limit_holds(
        happenings in prop::collection::vec(happening(), 1..200)
    ) {
        let (mut world, mut memory) = (World::default(), Memory::new(LIMIT));
        for (next, happening) in happenings.iter().enumerate() {
            happen(&mut world, &mut memory, happening, next as Thing);
        }
    }
}

/// Keeps things of these sizes, numbered from 0; the disk takes at once what it is given.
fn kept(sizes: &[u64]) -> (World, Memory) {
    let (mut world, mut memory) = (World::default(), Memory::new(LIMIT));
    for (thing, bytes) in sizes.iter().enumerate() {
        happen(&mut world, &mut memory, &Happening::Keep(*bytes), thing as Thing);
        while happen(&mut world, &mut memory, &Happening::DiskWrites(0, true), 0).is_some() {}
    }
    (world, memory)
}

#[test]
fn the_least_recently_used_goes_first() {
    for (used, left) in [(None, vec![2, 3]), (Some(0), vec![0, 2, 3])] {
        // The first two are on the disk, and in memory still.
        let (mut world, mut memory) = kept(&[5, 73, 5]);
        assert_eq!((world.in_memory.len(), world.on_disk.len()), (3, 2));
        if let Some(used) = used {
            world.step(&mut memory, MemoryEvent::Pinned(used));
            world.step(&mut memory, MemoryEvent::Released(used));
        }
        happen(&mut world, &mut memory, &Happening::Keep(30), 3);
        assert_eq!(world.in_memory, BTreeSet::from_iter(left));
    }
}

#[test]
fn little_is_never_written() {
    let (world, _) = kept(&[25, 25, 25]);
    assert_eq!(world.on_disk, BTreeSet::new());
}

#[test]
fn what_is_read_stays_however_much_it_is() {
    let (mut world, mut memory) = kept(&[60]);
    for thing in 0..4 {
        world.readers.insert(thing, 1);
        if thing > 0 {
            happen(&mut world, &mut memory, &Happening::Keep(60), thing);
        }
        world.step(&mut memory, MemoryEvent::Pinned(thing));
    }
    assert!(world.writing.len() <= 3 && world.in_memory.len() == 4, "{:?}", world.writing);
}

#[test]
fn a_disk_that_refuses_leaves_all_in_memory() {
    let (mut world, mut memory) = (World::default(), Memory::new(LIMIT));
    for thing in 0..10 {
        happen(&mut world, &mut memory, &Happening::Keep(50), thing);
        happen(&mut world, &mut memory, &Happening::DiskWrites(thing as usize, false), 0);
    }
    assert_eq!((world.in_memory.len(), world.on_disk.len()), (10, 0));
}
