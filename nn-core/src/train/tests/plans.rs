//! Plans: what they name, what they cost, and what is refused.

use crate::train::{Channels, Head, Part, Selection, TrainRule, TrainSpec, Trainable};
use crate::train::{
    Clip, Course, List, Loss, MAX_RULES, Method, Optimizer, Rounding, Sgd, SpecError,
};

fn plan() -> TrainSpec {
    TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, 0.01)
}

#[test]
fn a_plan_keeps_its_bytes() {
    let spec = plan()
        .with_nesterov(0.9)
        .with_weight_decay(1e-4)
        .with_l1(1e-5)
        .without_bias_decay()
        .with_rounding(Rounding::Nearest)
        .with_schedule(Course::Cosine {
            period: 100,
            floor: 0.1,
            restart: true,
        })
        .with_clip(Clip::Norm(1.0))
        .with_accumulation(8)
        .with_seed(7)
        .with_rules(&[
            Trainable::Last(1).into(),
            TrainRule {
                nodes: Trainable::Node(300),
                part: Part::Channels {
                    first: 64,
                    mask: 1 << 63 | 1,
                },
            },
        ])
        .unwrap()
        .with_heads(&[
            Head::new(Loss::CrossEntropy).with_class_weights(5),
            Head::new(Loss::Huber { delta: 0.5 })
                .at(1)
                .with_weight(0.25),
        ])
        .unwrap();
    assert_eq!(spec.check(), Ok(()));
    let mut bytes = [0; 256];
    let bytes = postcard::to_slice(&spec, &mut bytes).unwrap();
    let (back, rest) = postcard::take_from_bytes::<TrainSpec>(bytes).unwrap();
    assert_eq!(back, spec);
    assert!(rest.is_empty());
    for len in 0..bytes.len() {
        assert!(postcard::from_bytes::<TrainSpec>(&bytes[..len]).is_err());
    }
    // Both flags of an optimizer, and no others.
    let mut bytes = [0; 64];
    let bytes = postcard::to_slice(&spec.optimizer, &mut bytes).unwrap();
    assert_eq!(bytes.last(), Some(&2));
    *bytes.last_mut().unwrap() = 4;
    assert!(postcard::from_bytes::<Optimizer>(bytes).is_err());
    // What a small plan costs in flash.
    let mut small = [0; 64];
    assert_eq!(postcard::to_slice(&plan(), &mut small).unwrap().len(), 35);
}

#[test]
fn lists_have_an_end() {
    let mut bytes = [0; 16];
    let nine = postcard::to_slice(&[Trainable::All; 9][..], &mut bytes).unwrap();
    assert!(postcard::from_bytes::<List<Trainable, 8>>(nine).is_err());
    let eight = postcard::to_slice(&[Trainable::All; 8][..], &mut bytes).unwrap();
    let list = postcard::from_bytes::<List<Trainable, 8>>(eight).unwrap();
    assert_eq!(list.as_slice(), [Trainable::All; 8]);
    assert_eq!(
        plan().with_rules(&[TrainRule::default(); MAX_RULES + 1]),
        None
    );
}

#[test]
fn copies_are_what_the_optimizer_keeps_and_the_sum() {
    let copies = |optimizer: Optimizer| {
        TrainSpec {
            optimizer,
            ..plan()
        }
        .copies()
    };
    assert_eq!(copies(Optimizer::SGD), 0);
    assert_eq!(plan().with_momentum(0.9).copies(), 1);
    assert_eq!(copies(Optimizer::ADAM), 2);
    assert_eq!(copies(Optimizer::RMS_PROP), 1);
    assert_eq!(plan().with_accumulation(2).copies(), 1);
    assert_eq!(plan().with_clip(Clip::Norm(1.0)).copies(), 1);
    assert_eq!(plan().with_clip(Clip::Value(1.0)).copies(), 0);
    let adam = TrainSpec::adam(Trainable::All, Loss::CrossEntropy, 1e-3);
    assert_eq!(adam.with_accumulation(4).copies(), crate::train::MAX_COPIES);
}

#[test]
fn the_first_rates_are_a_plan_of_today() {
    let sgd = Sgd {
        learning_rate: 0.01,
        momentum: 0.9,
        weight_decay: 1e-4,
    };
    assert_eq!(
        TrainSpec::with_rates(Trainable::All, Loss::CrossEntropy, sgd),
        plan().with_momentum(0.9).with_weight_decay(1e-4)
    );
}

/// What of node `index` learns; four nodes have weights: 0, 2, 5 and 70.
fn selected(rules: &[TrainRule], index: usize) -> Result<Selection, SpecError> {
    let later = [0, 2, 5, 70].iter().filter(|node| **node > index).count();
    plan()
        .with_rules(rules)
        .unwrap()
        .selection(index, Some(later))
}

#[test]
fn rules_name_nodes() {
    let all = Selection {
        weight: Some(Channels::All),
        bias: Some(Channels::All),
    };
    let named = |nodes: Trainable| {
        [0, 2, 5, 70].map(|index| {
            let found = selected(&[nodes.into()], index).unwrap();
            assert!(found == all || found == Selection::default());
            found == all
        })
    };
    assert_eq!(named(Trainable::All), [true; 4]);
    assert_eq!(named(Trainable::Last(0)), [false; 4]);
    assert_eq!(named(Trainable::Last(2)), [false, false, true, true]);
    assert_eq!(named(Trainable::Nodes(0b101)), [true, true, false, false]);
    // Node 70 is past the mask.
    assert_eq!(named(Trainable::Nodes(!0)), [true, true, true, false]);
    assert_eq!(named(Trainable::Node(70)), [false, false, false, true]);
}

#[test]
fn what_one_rule_names_learns() {
    let rule = |nodes, part| TrainRule { nodes, part };
    let window = |first, mask| Part::Channels { first, mask };
    let channels = |first, mask| Some(Channels::Window { first, mask });
    let top = Part::TopChannels {
        count: 3,
        decay: 0.5,
    };
    let both = |rules: [Part; 2]| {
        let rules = rules.map(|part| rule(Trainable::All, part));
        let found = selected(&rules, 0);
        found.map(|found| (found.weight, found.bias))
    };
    let all = Some(Channels::All);
    assert_eq!(both([Part::Bias, Part::Bias]), Ok((None, all)));
    assert_eq!(both([Part::Bias, Part::Weight]), Ok((all, all)));
    assert_eq!(
        both([window(3, 0b11), Part::Bias]),
        Ok((channels(3, 0b11), all))
    );
    assert_eq!(both([Part::All, top]), Ok((all, all)));
    assert_eq!(
        both([window(8, 0b11), window(5, 1)]),
        Ok((channels(5, 0b11001), channels(5, 0b11001)))
    );
    let at_the_end = channels(0, 1 << 63 | 1);
    assert_eq!(
        both([window(0, 1), window(63, 1)]),
        Ok((at_the_end, at_the_end))
    );
    let refused = Err(SpecError::Channels { node: 0 });
    assert_eq!(both([window(0, 1), window(64, 1)]), refused);
    assert_eq!(both([window(0, 1), window(63, 2)]), refused);
    assert_eq!(both([window(0, 1), top]), refused);
    assert!(both([top, top]).is_ok());
    // Rules of other nodes do not meet.
    let apart = [
        rule(Trainable::Node(0), window(0, 1)),
        rule(Trainable::Node(2), top),
    ];
    assert!(selected(&apart, 0).is_ok() && selected(&apart, 2).is_ok());
}

#[test]
fn each_field_has_its_range() {
    let with = |change: &dyn Fn(&mut TrainSpec)| {
        let mut spec = plan();
        change(&mut spec);
        match spec.check() {
            Err(SpecError::Field { name, .. }) => name,
            Err(SpecError::NoRules) => "no rules",
            Err(SpecError::NoHeads) => "no heads",
            Err(SpecError::TwoHeads { output: 0 }) => "two heads",
            other => panic!("{other:?}"),
        }
    };
    let method = |method: Method| with(&|spec| spec.optimizer.method = method);
    let sgd = |momentum, nesterov| method(Method::Sgd { momentum, nesterov });
    let adam = |beta1, beta2, epsilon| {
        method(Method::Adam {
            beta1,
            beta2,
            epsilon,
            decoupled: false,
        })
    };
    assert_eq!(with(&|spec| spec.learning_rate = -0.1), "learning_rate");
    assert_eq!(with(&|spec| spec.learning_rate = f32::NAN), "learning_rate");
    assert_eq!(with(&|spec| spec.accumulate = 0), "accumulate");
    assert_eq!(with(&|spec| spec.clip = Clip::Value(0.0)), "clip");
    assert_eq!(with(&|spec| spec.clip = Clip::Norm(f32::INFINITY)), "clip");
    assert_eq!(
        with(&|spec| spec.optimizer.weight_decay = -1.0),
        "weight_decay"
    );
    assert_eq!(with(&|spec| spec.optimizer.l1 = f32::NAN), "l1");
    assert_eq!(sgd(1.0, false), "momentum");
    assert_eq!(sgd(-0.5, false), "momentum");
    assert_eq!(sgd(0.0, true), "momentum");
    assert_eq!(adam(1.0, 0.999, 1e-8), "beta1");
    assert_eq!(adam(0.9, 1.0, 1e-8), "beta2");
    assert_eq!(adam(0.9, 0.999, 0.0), "epsilon");
    let (alpha, epsilon) = (f32::NAN, 1e-8);
    assert_eq!(method(Method::RmsProp { alpha, epsilon }), "alpha");
    assert_eq!(with(&|spec| spec.rules = List::default()), "no rules");
    assert_eq!(with(&|spec| spec.heads = List::default()), "no heads");
    let head = |head: Head| with(&|spec| spec.heads = List::one(head));
    assert_eq!(head(Head::default().with_weight(0.0)), "head.weight");
    assert_eq!(head(Head::new(Loss::Huber { delta: 0.0 })), "huber.delta");
    let two = [Head::default(); 2];
    assert_eq!(
        with(&|spec| spec.heads = List::new(&two).unwrap()),
        "two heads"
    );
    let part = |part: Part| with(&|spec| *spec = spec.with_part(part));
    assert_eq!(part(Part::Channels { first: 0, mask: 0 }), "channels.mask");
    let top = |count, decay| part(Part::TopChannels { count, decay });
    assert_eq!(top(0, 0.5), "top_channels.count");
    assert_eq!(top(1, 1.0), "top_channels.decay");
    assert_eq!(
        with(&|spec| spec.schedule.course = Course::Exponential { gamma: 0.0 }),
        "schedule.gamma"
    );
    let message = std::format!("{}", plan().with_momentum(1.5).check().unwrap_err());
    assert_eq!(
        message,
        "momentum is 1.5: it must be at least 0 and below 1"
    );
}
