// Every board that an image can be built for: one line each.
//
// Read by `build.rs` (memory layout, fit) and by the host's library (target, emulator, probe);
// what a board does at run time is its file in `src/boards/`. How to add one: docs/porting.md.

/// A stretch of a board's address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its first address.
    pub origin: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// What tools need to know of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Its name on the command line; the cargo feature is `board-` and this.
    pub name: &'static str,
    /// Its core, as its maker writes it.
    pub core: &'static str,
    /// rustc's target triple.
    pub target: &'static str,
    /// Memory for code, constants and the model.
    pub flash: Region,
    /// Bytes at the start of `flash` for what the chip's ROM starts, section `.boot`; the vector table comes behind it.
    pub boot: u32,
    /// Memory for everything else.
    pub ram: Region,
    /// The share of `ram`, at its low end, that is the stack: it grows down towards the end of
    /// RAM, so that an overflow faults instead of overwriting the arena.
    pub stack: u32,
    /// QEMU's name of the machine, for a board that it emulates.
    pub qemu: Option<&'static str>,
    /// More RAM than the board has, which QEMU can give its core: what is too large for the board is measured with it.
    pub more_ram: Option<MoreRam>,
    /// The end of `flash` that an image which learns leaves to what it keeps; an emulated board has a file instead.
    pub store: Option<Region>,
    /// probe-rs' name of the chip, for a board that one can hold.
    pub chip: Option<&'static str>,
    /// Where an agent keeps models, for a board that has room for them.
    pub agent: Option<AgentFlash>,
    /// What that chip says of itself, so that no other is written by mistake.
    pub identity: Option<Identity>,
}

/// The flash of an agent: a journal, two slots, two stores, one behind the other. Lengths are in bytes, whole pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentFlash {
    /// Where it begins. Within the board's flash it takes the end of it from the code.
    pub origin: u32,
    /// What is erased at once.
    pub page: u32,
    /// Of the journal: at least two pages.
    pub journal: u32,
    /// Of each slot: a package.
    pub slot: u32,
    /// Of the store of each slot: at least two pages.
    pub store: u32,
    /// The image's stack, where that of other images is too small: it plans, and checks signatures.
    pub stack: u32,
    /// What the image can compute.
    pub kernels: Kernels,
}

/// The operators and number types that an agent's image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    /// Bit n for the operator of code n of the format.
    pub ops: u64,
    /// Whether it computes in f32, in Q16, in int8.
    pub types: [bool; 3],
    /// Whether models learn.
    pub train: bool,
}

impl Kernels {
    /// All.
    const ALL: Kernels = Kernels {
        ops: u64::MAX,
        types: [true; 3],
        train: true,
    };
}

impl AgentFlash {
    /// All of it.
    pub fn total(&self) -> u32 {
        self.journal + 2 * self.slot + 2 * self.store
    }
}

/// How a chip says what it is: a register that others of its family have, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Where the register is.
    pub address: u32,
    /// The bits that count: revisions differ in others.
    pub mask: u32,
    /// What it holds.
    pub value: u32,
}

/// How QEMU gives a core more RAM than its board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoreRam {
    /// How much, in bytes.
    pub len: u32,
    /// Its property that says so.
    pub property: &'static str,
}

impl Board {
    /// Memory for the code, constants and model of an image.
    pub fn code(&self, learns: bool) -> Region {
        let kept = self.store.filter(|_| learns).map_or(0, |store| store.len);
        Region {
            origin: self.flash.origin + self.boot,
            len: self.flash.len - self.boot - kept,
        }
    }

    /// Memory for the code of an agent.
    pub fn agents_code(&self) -> Region {
        let end = self.flash.origin + self.flash.len;
        let before = self.agent.map(|agent| agent.origin);
        let before = before.filter(|origin| (self.flash.origin..end).contains(origin));
        Region {
            origin: self.flash.origin + self.boot,
            len: before.unwrap_or(end) - self.flash.origin - self.boot,
        }
    }

    /// It has room for an agent's models.
    const fn with_agent(mut self, agent: AgentFlash) -> Self {
        self.agent = Some(agent);
        self
    }

    /// The chip's ROM starts so many bytes at the start of its flash, which start the image.
    const fn boots(mut self, bytes: u32) -> Self {
        self.boot = bytes;
        self
    }

    /// At this address its chip holds this value, under this mask.
    const fn known_by(mut self, address: u32, mask: u32, value: u32) -> Self {
        self.identity = Some(Identity {
            address,
            mask,
            value,
        });
        self
    }

    /// In QEMU its core can have so much RAM, by this property.
    const fn or_ram(mut self, len: u32, property: &'static str) -> Self {
        self.more_ram = Some(MoreRam { len, property });
        self
    }

    /// Whether its core has the DSP instructions: weights are packed for it by layout 1, else by layout 2.
    pub fn has_dsp(&self) -> bool {
        ["thumbv7em", "thumbv8m"]
            .iter()
            .any(|family| self.target.starts_with(family))
    }
}

const KIB: u32 = 1024;

/// The boards, by core: flash, RAM, stack, the part of flash that what is learnt is kept in.
#[rustfmt::skip]
pub const BOARDS: &[Board] = &[
    board("microbit",     "Cortex-M0",  "thumbv6m-none-eabi",    (0x0000_0000, 256 * KIB),  (0x2000_0000, 16 * KIB),   5 * KIB,  0,         Some("microbit"),   None)
        .or_ram(128 * KIB, "nrf51-soc.sram-size")
        .with_agent(MICROBIT_AGENT),
    board("an385",        "Cortex-M3",  "thumbv7m-none-eabi",    (0x0000_0000, 4096 * KIB), (0x2000_0000, 4096 * KIB), 16 * KIB, 0,        Some("mps2-an385"), None)
        .with_agent(MPS2_AGENT),
    board("an386",        "Cortex-M4F", "thumbv7em-none-eabihf", (0x0000_0000, 4096 * KIB), (0x2000_0000, 4096 * KIB), 16 * KIB, 0,        Some("mps2-an386"), None)
        .with_agent(MPS2_AGENT),
    board("nucleo-f446re","Cortex-M4F", "thumbv7em-none-eabihf", (0x0800_0000, 512 * KIB),  (0x2000_0000, 128 * KIB),  8 * KIB,  256 * KIB, None,               Some("STM32F446RETx"))
        .known_by(0xE004_2000, 0xFFF, 0x421),
    board("nrf52840-dk",  "Cortex-M4F", "thumbv7em-none-eabihf", (0x0000_0000, 1024 * KIB), (0x2000_0000, 256 * KIB),  16 * KIB, 256 * KIB, None,               Some("nRF52840_xxAA"))
        .with_agent(NRF52840_AGENT)
        .known_by(0x1000_0100, u32::MAX, 0x0005_2840),
    board("pico",         "Cortex-M0+", "thumbv6m-none-eabi",    (0x1000_0000, 2048 * KIB), (0x2000_0000, 264 * KIB),  16 * KIB, 512 * KIB, None,               Some("RP2040"))
        .boots(256)
        .with_agent(PICO_AGENT)
        .known_by(0x4000_0000, 0x0FFF_FFFF, 0x2927),
    board("an500",        "Cortex-M7",  "thumbv7em-none-eabihf", (0x0000_0000, 4096 * KIB), (0x2000_0000, 4096 * KIB), 16 * KIB, 0,        Some("mps2-an500"), None)
        .with_agent(MPS2_AGENT),
    board("an547",        "Cortex-M55", "thumbv8m.main-none-eabihf", (0x0000_0000, 512 * KIB), (0x2000_0000, 512 * KIB), 16 * KIB, 0,        Some("mps3-an547"), None)
        .with_agent(MPS3_AGENT),
];

#[expect(clippy::too_many_arguments, reason = "a row of the table above")]
const fn board(
    name: &'static str,
    core: &'static str,
    target: &'static str,
    flash: (u32, u32),
    ram: (u32, u32),
    stack: u32,
    store: u32,
    qemu: Option<&'static str>,
    chip: Option<&'static str>,
) -> Board {
    Board {
        name,
        core,
        target,
        flash: Region {
            origin: flash.0,
            len: flash.1,
        },
        boot: 0,
        ram: Region {
            origin: ram.0,
            len: ram.1,
        },
        stack,
        qemu,
        more_ram: None,
        store: match store {
            0 => None,
            len => Some(Region {
                origin: flash.0 + flash.1 - len,
                len,
            }),
        },
        chip,
        agent: None,
        identity: None,
    }
}

/// The upper three quarters of the MPS2's code memory, which QEMU lets its core write.
const MPS2_AGENT: AgentFlash = AgentFlash {
    origin: 1024 * KIB,
    page: 4 * KIB,
    journal: 8 * KIB,
    slot: 1024 * KIB,
    store: 508 * KIB,
    stack: 16 * KIB,
    kernels: Kernels::ALL,
};

/// The MPS3's static RAM, which an image does not use.
const MPS3_AGENT: AgentFlash = AgentFlash {
    origin: 0x2100_0000,
    ..MPS2_AGENT
};

/// The end of the micro:bit's flash. What its image can compute is what fits: int8 networks of dense layers, convolutions
/// and LSTMs, which do not learn.
const MICROBIT_AGENT: AgentFlash = AgentFlash {
    origin: 206 * KIB,
    page: KIB,
    journal: 2 * KIB,
    slot: 22 * KIB,
    store: 2 * KIB,
    stack: 8 * KIB,
    kernels: Kernels {
        // Dense, convolution, largest and mean pooling, flatten, ReLU; softmax, quantize, dequantize, LSTM, reshape;
        // requantize, packed dense, convolution and LSTM.
        ops: 0b11_1100_0001_0000_0000_1000_0111_0011_1111,
        types: [true, false, true],
        train: false,
    },
};

/// The upper half of the nRF52840's flash.
const NRF52840_AGENT: AgentFlash = AgentFlash {
    origin: 512 * KIB,
    page: 4 * KIB,
    journal: 8 * KIB,
    slot: 160 * KIB,
    store: 92 * KIB,
    stack: 16 * KIB,
    kernels: Kernels::ALL,
};

/// The upper 1.25 MiB of the Pico's flash: room for the digits' network of f32.
const PICO_AGENT: AgentFlash = AgentFlash {
    origin: 0x1000_0000 + 768 * KIB,
    page: 4 * KIB,
    journal: 8 * KIB,
    slot: 448 * KIB,
    store: 188 * KIB,
    stack: 16 * KIB,
    kernels: Kernels::ALL,
};
