//! An agent at the other end of a host's line.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
};

use embedded_hal::digital;
use embedded_io::{ErrorType, Read, Write};
use firmware::agent::{Agent, End, Key, Lap, Places, Site};
use nn_core::{
    link::{StackUse, agent::Unit},
    memory::Aligned,
    ops::OpSet,
};

use crate::{
    flash::{Flash, PAGE},
    host::{Host, Wires},
};

pub(crate) const PLACES: Places = Places::in_turn(JOURNAL, SLOT, STORE);
pub(crate) const JOURNAL: u32 = 2 * PAGE as u32;
pub(crate) const SLOT: u32 = 4 * PAGE as u32;
const STORE: u32 = 8 * PAGE as u32;
pub(crate) const LEN: usize = (JOURNAL + 2 * SLOT + 2 * STORE) as usize;
const RAM: usize = 8192;
const FRAME: usize = 600;
/// The agent's end.
struct Port<'h> {
    wires: Rc<RefCell<Wires>>,
    host: Pin<&'h mut dyn Future<Output = ()>>,
}

impl ErrorType for Port<'_> {
    type Error = Infallible;
}

impl Read for Port<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        while self.wires.borrow().to.is_empty() {
            let mut context = Context::from_waker(Waker::noop());
            if self.host.as_mut().poll(&mut context).is_ready() {
                return Ok(0);
            }
        }
        let mut wires = self.wires.borrow_mut();
        let len = wires.to.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(wires.to.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

impl Write for Port<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut wires = self.wires.borrow_mut();
        for byte in bytes {
            wires.receive(*byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct NoLight;

impl digital::ErrorType for NoLight {
    type Error = Infallible;
}

impl digital::OutputPin for NoLight {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Counts calls.
struct Calls(u32);

impl Lap for Calls {
    const UNIT: Unit = Unit::Instructions;

    fn lap(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Starts an agent with the operators of `K` on `flash`, and lets `work` talk to it until it is done.
pub(crate) fn start_with<K: OpSet, T>(
    flash: &RefCell<Flash>,
    key: Option<Key>,
    host: &Host,
    work: impl AsyncFnOnce(&Host) -> T,
) -> T {
    let site = Site {
        board: "bench",
        core: "any",
        clock: 1,
        places: PLACES,
        key,
        stack: StackUse::default,
        ends: false,
    };
    let outcome = Cell::new(None);
    {
        let mut future = std::pin::pin!(async { outcome.set(Some(work(host).await)) });
        let mut port = Port {
            wires: host.wires.clone(),
            host: future.as_mut(),
        };
        let mut agent = Agent::<_, K, _>::new(flash, site, Calls(0)).unwrap();
        let mut ram = Box::new(Aligned([0; RAM]));
        let mut frame = [0; FRAME];
        let Ok(end) = agent.serve(&mut port, &mut NoLight, &mut frame, &mut ram.0);
        assert_eq!(end, End::Closed);
    }
    outcome.into_inner().unwrap()
}

/// An unlocked agent with all operators, and a line without faults.
pub(crate) fn start<T>(flash: &RefCell<Flash>, work: impl AsyncFnOnce(&Host) -> T) -> T {
    start_with::<nn_core::ops::AllOps, T>(flash, None, &Host::default(), work)
}
