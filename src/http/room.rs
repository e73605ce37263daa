//! The memory for uploaded images over all requests. Uploads take it as their bytes arrive, so an
//! upload that stalls holds only what it sent. No sender can take all of it, and large uploads
//! leave a part for those of kiosks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::problem::{Code, Problem};
use crate::domain::attendance::Origin;

/// Maximum memory for images over all requests, in bytes: two dozen of the largest files, or
/// thousands as kiosks send them.
const MOST: usize = 256 << 20;
/// Maximum for one sender: the largest form, of ten photos, fits.
const SHARE: usize = MOST / 2;
/// What large uploads leave for small ones.
const RESERVED: usize = MOST / 4;
/// Maximum size of a small upload: bursts of kiosks have less.
const SMALL: usize = 2 << 20;

static ROOMS: Rooms = Rooms(Mutex::new(Taken {
    total: 0,
    by_sender: BTreeMap::new(),
}));

struct Rooms(Mutex<Taken>);

struct Taken {
    total: usize,
    by_sender: BTreeMap<Origin, usize>,
}

impl Rooms {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory that one upload takes. Released when dropped.
pub struct Room {
    rooms: &'static Rooms,
    sender: Origin,
    bytes: usize,
}

impl Room {
    /// Creates the room of an upload, which takes nothing yet.
    pub fn new(sender: Origin) -> Self {
        Self {
            rooms: &ROOMS,
            sender,
            bytes: 0,
        }
    }

    /// Takes memory for bytes that arrived. Fails at once without enough, so that no upload waits.
    pub fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let mut taken = self.rooms.taken();
        let own = taken.by_sender.get(&self.sender).copied().unwrap_or(0);
        let left = match self.bytes + bytes {
            0..=SMALL => MOST - taken.total,
            _ => (MOST - RESERVED).saturating_sub(taken.total),
        };
        let (wait, whose) = ("try again in a moment", "the service is reading too many");
        if own + bytes > SHARE {
            let detail = format!("{whose} images of this sender: {wait}");
            return Err(Problem::new(Code::EngineBusy, detail));
        }
        if bytes > left {
            let detail = format!("{whose} images: {wait}");
            return Err(Problem::new(Code::EngineBusy, detail));
        }
        taken.total += bytes;
        taken.by_sender.insert(self.sender, own + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.rooms.taken();
        taken.total -= self.bytes;
        if let Some(own) = taken.by_sender.get_mut(&self.sender) {
            *own -= self.bytes;
            if *own == 0 {
                taken.by_sender.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::DeviceId;

    const MEBIBYTE: usize = 1 << 20;

    fn rooms() -> &'static Rooms {
        Box::leak(Box::new(Rooms(Mutex::new(Taken {
            total: 0,
            by_sender: BTreeMap::new(),
        }))))
    }

    fn room(rooms: &'static Rooms, device: u128) -> Room {
        let sender = Origin::Device(DeviceId::new(uuid::Uuid::from_u128(device)));
        Room {
            rooms,
            sender,
            bytes: 0,
        }
    }

    #[test]
    fn a_sender_has_at_most_its_share_and_gets_it_back() {
        let rooms = rooms();
        let mut uploads: Vec<_> = (0..4).map(|_| room(rooms, 1)).collect();
        for upload in &mut uploads {
            upload.take(SHARE / 4).unwrap();
        }
        let mut more = room(rooms, 1);
        assert!(more.take(1).is_err());
        room(rooms, 2).take(MEBIBYTE).unwrap();
        uploads.pop();
        more.take(SHARE / 4).unwrap();
        drop((uploads, more));
        let taken = rooms.taken();
        assert_eq!((taken.total, taken.by_sender.len()), (0, 0));
    }

    #[test]
    fn large_uploads_leave_room_for_those_of_kiosks() {
        let rooms = rooms();
        let mut large: Vec<_> = (0..4).map(|device| room(rooms, device)).collect();
        let all: usize = (0..MOST / MEBIBYTE)
            .filter(|number| large[number % 4].take(MEBIBYTE).is_ok())
            .count();
        assert_eq!(all * MEBIBYTE, MOST - RESERVED);
        let mut kiosk = room(rooms, 9);
        kiosk.take(SMALL).unwrap();
        assert!(kiosk.take(1).is_err());
    }
}
