//! The app `control`: the model answers at a fixed rate, from an exception, and learns in the idle time.
//!
//! Training is interrupted anywhere, in the middle of a step. So the answers come from a second instance of the model, whose
//! weights are those after a whole number of steps: between two steps they are copied over with interrupts masked, which is
//! all that can delay an answer. What the core then logs: how long after its tick the latest answer came, and whether each was
//! that of whole steps, as going through the same lesson once more shows. At last it hangs, and the watchdog ends that.
//! For QEMU with `-icount shift=0`, where the clock counts instructions.
#![no_std]
#![no_main]

use core::{cell::RefCell, mem::MaybeUninit, ptr};

use cortex_m::{
    interrupt::{self, Mutex},
    peripheral::{SCB, SYST},
};
use cortex_m_rt::{entry, exception};
use firmware::{
    boards,
    clock::{Clock, Instant},
    engine::Engine as _,
    model::{self, ARENA, Engine},
    stack,
    watchdog::Watchdog as _,
};
use nn_core::{
    conformance::Draw,
    digest::Fnv1a,
    memory::Arena,
    train::{MAX_HEADS, Target, TrainError, Trainer},
};

/// Answers that are asked for.
const ANSWERS: usize = 128;
/// A period is so many times as long as an answer takes: half of the core is idle.
const LOAD: u32 = 2;
/// Numbers of all targets.
const ROOM: usize = 256;
/// How long a step may take, with the answers that interrupt it, before the image counts as hung.
const PATIENCE_MS: u32 = 100;
/// Instructions of the emulator's millisecond; a real core takes longer for them.
const MILLISECOND: u32 = 1_000_000;
/// In a variable that a reset does not touch: the image hung on purpose.
const HUNG: u32 = 0x0DEA_DD06;

/// What answers, in the hands of the exception.
static CONTROL: Mutex<RefCell<Option<Control>>> = Mutex::new(RefCell::new(None));

#[unsafe(link_section = ".uninit.control")]
static mut LAST_WORDS: MaybeUninit<u32> = MaybeUninit::uninit();

#[derive(Clone, Copy)]
struct Answer {
    /// Steps that its weights have learnt.
    steps: u32,
    /// Digest of the outputs.
    digest: u64,
}

struct Control {
    engine: &'static mut Engine,
    draw: Draw,
    answers: &'static mut [Answer; ANSWERS],
    count: usize,
    /// Steps that its weights have learnt.
    steps: u32,
    /// Ticks of a period.
    period: u32,
    /// Ticks from an exception's time to the answer, at most.
    latest: u32,
    /// Answers that came after the next one was due.
    missed: u32,
}

impl Control {
    fn answer(&mut self) {
        let Some(answer) = self.answers.get_mut(self.count) else {
            return;
        };
        let digest = run(self.engine, &mut self.draw).unwrap_or(0);
        // Since the timer began anew, which was at this answer's time unless the next one's has come.
        let mut ticks = self.period.saturating_sub(SYST::get_current());
        if is_due() {
            self.missed += 1;
            ticks = self.period.saturating_sub(SYST::get_current()) + self.period;
        }
        self.latest = self.latest.max(ticks);
        let steps = self.steps;
        *answer = Answer { steps, digest };
        self.count += 1;
    }
}

#[exception]
fn SysTick() {
    interrupt::free(|masked| {
        if let Some(control) = CONTROL.borrow(masked).borrow_mut().as_mut() {
            control.answer();
        }
    });
}

#[entry]
fn main() -> ! {
    // MOTE_ARENA is what the model learns in; tools find it by its name.
    static mut MOTE_ARENA: Arena<ARENA> = Arena::new();
    static mut CONTROL_ARENA: Arena<ARENA> = Arena::new();
    static mut LEARNER: Option<Engine> = None;
    static mut CONTROLLER: Option<Engine> = None;
    static mut LOG: [Answer; ANSWERS] = [Answer {
        steps: 0,
        digest: 0,
    }; ANSWERS];

    stack::paint();
    let mut board = boards::take();
    if last_words() == HUNG {
        leave(0);
        defmt::println!("watchdog 1");
        boards::exit(true);
    }
    let Some(core) = cortex_m::Peripherals::take() else {
        boards::exit(false)
    };
    let learner = set_up(LEARNER, MOTE_ARENA.as_mut_slice());
    let controller = set_up(CONTROLLER, CONTROL_ARENA.as_mut_slice());
    let Some(shown) = control(core.SYST, &mut board.watchdog, learner, controller, LOG) else {
        boards::exit(false)
    };
    shown.say();
    defmt::println!("stack {=u32}", stack::used());
    hang();
    // The board's watchdog, if it has one, is not emulated.
    defmt::println!("watchdog 0");
    boards::exit(true)
}

#[inline(never)]
fn set_up(place: &'static mut Option<Engine>, arena: &'static mut [u8]) -> &'static mut Engine {
    match model::engine(arena) {
        Ok(engine) => place.insert(engine),
        Err(fault) => {
            defmt::error!("the model in flash cannot be set up: {}", fault);
            boards::exit(false);
        }
    }
}

/// What came of it, in ticks of the clock.
struct Shown {
    clock: Clock,
    run: u32,
    step: u32,
    period: u32,
    latest: u32,
    masked: u32,
    steps: u32,
    missed: u32,
    torn: u32,
}

impl Shown {
    fn say(&self) {
        let instructions = |ticks| self.clock.instructions(ticks);
        defmt::println!("run {=u32}", instructions(self.run));
        defmt::println!("step {=u32}", instructions(self.step));
        defmt::println!("period {=u32}", instructions(self.period));
        defmt::println!("latest {=u32}", instructions(self.latest));
        defmt::println!("masked {=u32}", instructions(self.masked));
        defmt::println!("answers {=usize}", ANSWERS);
        defmt::println!("steps {=u32}", self.steps);
        defmt::println!("missed {=u32}", self.missed);
        defmt::println!("torn {=u32}", self.torn);
    }
}

fn control(
    mut timer: SYST,
    watchdog: &mut boards::Watchdog,
    learner: &'static mut Engine,
    controller: &'static mut Engine,
    answers: &'static mut [Answer; ANSWERS],
) -> Option<Shown> {
    let clock = Clock::measure(&mut timer);
    // Once each without a clock that interrupts, to know how long they take.
    let (run_ticks, step_ticks) = try_out(learner, controller)?;
    let period = run_ticks.saturating_mul(LOAD);
    interrupt::free(|masked| {
        *CONTROL.borrow(masked).borrow_mut() = Some(Control {
            engine: controller,
            draw: Draw::new(),
            answers,
            count: 0,
            steps: 0,
            period,
            latest: 0,
            missed: 0,
        });
    });
    watchdog.start(PATIENCE_MS);
    timer.set_reload(period.saturating_sub(1));
    timer.clear_current();
    timer.enable_interrupt();
    // SAFETY: no critical section goes on here; a board's `take` may have masked interrupts, to wait for bytes that do not
    // come in this app.
    unsafe { interrupt::enable() };

    let mut draw = Draw::new();
    let (mut steps, mut masked_ticks) = (0u32, 0);
    loop {
        learn(learner, &mut draw)?;
        steps += 1;
        watchdog.feed();
        let ticks = hand_over(learner, steps, period)?;
        let Some(ticks) = ticks else { break };
        masked_ticks = ticks.max(masked_ticks);
    }
    timer.disable_interrupt();
    timer.disable_counter();
    let control = interrupt::free(|masked| CONTROL.borrow(masked).borrow_mut().take())?;
    timer.set_reload(Clock::MASK);
    timer.clear_current();
    timer.enable_counter();
    let torn = again(learner, control.engine, control.answers, watchdog)?;
    Some(Shown {
        clock,
        run: run_ticks,
        step: step_ticks,
        period,
        latest: control.latest,
        masked: masked_ticks,
        steps,
        missed: control.missed,
        torn,
    })
}

/// Ticks of a run and of a step; what was learnt is forgotten.
fn try_out(learner: &mut Engine, controller: &mut Engine) -> Option<(u32, u32)> {
    let mut draw = Draw::new();
    let start = Instant::now();
    run(controller, &mut draw)?;
    let run_ticks = start.ticks();
    let start = Instant::now();
    learn(learner, &mut draw)?;
    let step_ticks = start.ticks();
    for engine in [learner, controller] {
        engine.trainer().ok()?.reset();
    }
    Some((run_ticks, step_ticks))
}

/// Gives the weights of `learner`, after so many steps, to what answers: for how many ticks that kept interrupts waiting; none
/// inside where all answers are given.
fn hand_over(learner: &mut Engine, steps: u32, period: u32) -> Option<Option<u32>> {
    interrupt::free(|masked| {
        let mut control = CONTROL.borrow(masked).borrow_mut();
        let control = control.as_mut()?;
        if control.count == ANSWERS {
            return Some(None);
        }
        let start = SYST::get_current();
        let weights = control.engine.trainer().ok()?;
        weights.take_weights(learner.trainer().ok()?).ok()?;
        control.steps = steps;
        let end = SYST::get_current();
        let ticks = start.checked_sub(end);
        // The timer may have begun anew meanwhile.
        Some(Some(
            ticks.unwrap_or_else(|| (start + period).saturating_sub(end)),
        ))
    })
}

/// Goes through the lesson once more, without a clock: how many answers are not those of the weights after a whole number of
/// steps.
fn again(
    learner: &mut Engine,
    controller: &mut Engine,
    answers: &[Answer],
    watchdog: &mut boards::Watchdog,
) -> Option<u32> {
    for engine in [&mut *learner, &mut *controller] {
        engine.trainer().ok()?.reset();
    }
    let (mut lesson, mut questions) = (Draw::new(), Draw::new());
    let (mut steps, mut torn) = (0, 0);
    for answer in answers {
        while steps < answer.steps {
            learn(learner, &mut lesson)?;
            steps += 1;
            watchdog.feed();
        }
        let weights = controller.trainer().ok()?;
        weights.take_weights(learner.trainer().ok()?).ok()?;
        let digest = run(controller, &mut questions)?;
        torn += u32::from(digest != answer.digest);
        watchdog.feed();
    }
    Some(torn)
}

/// Runs the model on random inputs: the digest of its outputs.
#[inline(never)]
fn run(engine: &mut Engine, draw: &mut Draw) -> Option<u64> {
    let trainer = engine.trainer().ok()?;
    fill(trainer, draw)?;
    trainer.run().ok()?;
    let mut digest = Fnv1a::new();
    for index in 0..trainer.model().outputs().as_slice().len() {
        digest.update(trainer.output(index)?);
    }
    Some(digest.finish())
}

/// Learns from a random sample. A step that diverges changes nothing, and counts as one.
#[inline(never)]
fn learn(engine: &mut Engine, draw: &mut Draw) -> Option<()> {
    let trainer = engine.trainer().ok()?;
    fill(trainer, draw)?;
    let (mut room, mut targets) = ([0.0; ROOM], [Target::Class(0); MAX_HEADS]);
    let heads = draw
        .targets(&trainer.model(), &mut room, &mut targets)
        .ok()?;
    match trainer.step_heads(targets.get(..heads)?) {
        Ok(_) | Err(TrainError::Diverged) => Some(()),
        Err(error) => {
            defmt::error!("no step: {}", error);
            None
        }
    }
}

fn fill(trainer: &mut Trainer, draw: &mut Draw) -> Option<()> {
    let model = trainer.model();
    for index in 0..model.inputs().as_slice().len() {
        draw.fill(model.input(index)?.dtype, trainer.input_mut(index)?);
    }
    Some(())
}

/// Whether the next answer is due already: SysTick is pending.
fn is_due() -> bool {
    const PENDSTSET: u32 = 1 << 26;
    // SAFETY: ICSR can be read at any time.
    unsafe { (*SCB::PTR).icsr.read() & PENDSTSET != 0 }
}

/// Does nothing for twice as long as the watchdog waits.
fn hang() {
    leave(HUNG);
    for _ in 0..2 * PATIENCE_MS {
        cortex_m::asm::delay(MILLISECOND);
    }
    leave(0);
}

fn leave(word: u32) {
    // SAFETY: this app's own word, which no exception uses.
    unsafe { (&raw mut LAST_WORDS).cast::<u32>().write_volatile(word) };
}

fn last_words() -> u32 {
    // SAFETY: as above; whatever RAM held at power-on is a number.
    unsafe { ptr::read_volatile((&raw const LAST_WORDS).cast::<u32>()) }
}
