//! Inference.

use super::*;

#[test]
fn every_graph_in_every_format() {
    for (seed, kind) in (1..).zip(KINDS) {
        for (name, graph) in graphs(kind) {
            let mut random = Random::new(seed);
            let parameters = graph.draw(&mut random);
            let inputs = draw_inputs(&graph, &mut random);
            let inputs_64: Vec<Vec<f64>> = inputs.iter().map(|input| wide(input)).collect();
            let wanted = graph.evaluate(&wide(&parameters), &inputs_64);
            // Values about 1: in f32 some tens of roundings of 2⁻²⁴ in each sum, over a few steps and layers; in
            // Q16 inputs, weights and states are each off by 2⁻¹⁷, in sums of up to 12 products over up to 16 steps.
            for (dtype, tolerance) in [(DType::F32, 5e-6), (DType::Q16, 1e-3)] {
                let blob = graph.blob(dtype, &parameters, None);
                let mut arena = infer_arena(&blob);
                let model = Model::load(&blob).unwrap();
                let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
                // Twice: a run leaves nothing behind.
                for _ in 0..2 {
                    let found = run(&mut session, dtype, &inputs);
                    assert_eq!(found.len(), wanted.len());
                    for (found, wanted) in found.iter().zip(&wanted) {
                        assert!(
                            (f64::from(*found) - wanted).abs() < tolerance,
                            "{name}, {kind:?}, {dtype:?}: {found} instead of {wanted}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn one_step_at_a_time_gives_the_bits_of_the_sequence() {
    const STEPS: usize = 9;
    for kind in KINDS {
        for dtype in [DType::F32, DType::Q16] {
            let whole = vec![recurrent(kind, 6, Gives::Whole), dense(2, Activation::None)];
            let whole = Graph::chain(&[STEPS, 3], whole);
            let step = vec![stateful(kind, 6, Gives::Last), dense(2, Activation::None)];
            let step = Graph::chain(&[3], step);
            let mut random = Random::new(4);
            let parameters = whole.draw(&mut random);
            let x = random.values(STEPS * 3, 1.0);
            let blob = whole.blob(dtype, &parameters, None);
            let mut arena = infer_arena(&blob);
            let model = Model::load(&blob).unwrap();
            let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
            let wanted = run(&mut session, dtype, std::slice::from_ref(&x));

            let blob = step.blob(dtype, &parameters, None);
            let mut arena = infer_arena(&blob);
            let model = Model::load(&blob).unwrap();
            let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
            let sequence = |session: &mut Session| -> Vec<f32> {
                let rows = x.chunks(3);
                rows.flat_map(|row| run(session, dtype, &[row.to_vec()]))
                    .collect()
            };
            assert_eq!(sequence(&mut session), wanted);
            // It goes on, unless it is reset.
            assert_ne!(sequence(&mut session), wanted);
            session.reset();
            assert_eq!(sequence(&mut session), wanted);
        }
    }
}

#[test]
fn a_state_can_be_kept_and_put_back() {
    for kind in KINDS {
        let graph = Graph::chain(&[2, 3], vec![stateful(kind, 5, Gives::Last)]);
        let mut random = Random::new(5);
        let blob = graph.blob(DType::F32, &graph.draw(&mut random), None);
        let mut arena = infer_arena(&blob);
        let model = Model::load(&blob).unwrap();
        let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
        assert!(session.state(0).iter().all(|byte| *byte == 0));
        let x = random.values(6, 1.0);
        let h = run(&mut session, DType::F32, std::slice::from_ref(&x));
        let state = session.state(0).to_vec();
        let states = if kind == Kind::Lstm { 2 } else { 1 };
        assert_eq!(state.len(), states * 5 * 4);
        assert_eq!(values_of(DType::F32, &state)[..5], h);
        let next = run(&mut session, DType::F32, std::slice::from_ref(&x));
        assert_ne!(next, h);
        session.state_mut(0).copy_from_slice(&state);
        assert_eq!(run(&mut session, DType::F32, &[x]), next);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    use nn_core::model::LoadError;
    use nn_core::ops::NodeFault;
    let fault = |graph: &Graph, break_it: &dyn Fn(&mut tests::parts::Parts)| {
        let mut random = Random::new(1);
        let parameters = graph.draw(&mut random);
        let mut parts = graph.parts(DType::F32, &parameters, None);
        break_it(&mut parts);
        match parts.load() {
            Err(LoadError::Node { fault, .. }) => Some(fault),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    };
    let lstm = Graph::chain(&[5, 3], vec![recurrent(Kind::Lstm, 4, Gives::Whole)]);
    assert_eq!(fault(&lstm, &|_| {}), None);
    let shape = |dims: &[usize]| nn_core::tensor::Shape::new(dims).unwrap();
    // Tensors: 0 x, 1 y, 2 kernel, 3 recurrent kernel, 4 bias.
    for (id, dims) in [
        (0, vec![5, 2, 3]),
        (0, vec![4, 3]),
        (0, vec![5, 2]),
        (1, vec![3, 4]),
        (1, vec![5, 3]),
        (1, vec![5]),
        (2, vec![3, 12]),
        (2, vec![2, 16]),
        (3, vec![4, 12]),
        (3, vec![3, 16]),
        (4, vec![12]),
        (4, vec![1, 16]),
    ] {
        let found = fault(&lstm, &|parts| parts.tensors[id].shape = shape(&dims));
        assert!(
            matches!(found, Some(NodeFault::Shape(_))),
            "tensor {id} as {dims:?}: {found:?}"
        );
    }
    let found = fault(&lstm, &|parts| parts.tensors[4].dtype = DType::I32);
    assert!(matches!(found, Some(NodeFault::DType { id: 4, .. })));
    let found = fault(&lstm, &|parts| {
        for id in [0, 1] {
            parts.tensors[id].dtype = DType::Q16;
        }
    });
    assert!(matches!(found, Some(NodeFault::DType { id: 2, .. })));

    let gru = |reset_after| {
        let kind = Kind::Gru { reset_after };
        Graph::chain(&[5, 3], vec![recurrent(kind, 4, Gives::Whole)])
    };
    let found = fault(&gru(false), &|parts| {
        if let nn_core::ops::Op::Gru(gru) = &mut parts.nodes[0].op {
            gru.recurrent_bias = gru.layer.bias;
        }
    });
    assert_eq!(found, Some(NodeFault::Parameter));

    // A state for a layer that keeps its own, and more states than it has.
    let begins = |kind, keeps: bool, states: usize| {
        let layer = if keeps { stateful } else { recurrent }(kind, 4, Gives::Whole);
        let reads = core::iter::once(0).chain(core::iter::repeat_n(1, states));
        Graph {
            inputs: vec![vec![5, 3], vec![4]],
            nodes: vec![(layer, reads.collect())],
        }
    };
    let arity = |wanted, found| Some(NodeFault::Arity { wanted, found });
    assert_eq!(fault(&begins(Kind::Lstm, true, 1), &|_| {}), arity(1, 2));
    assert_eq!(fault(&begins(Kind::Lstm, false, 2), &|_| {}), None);
    assert_eq!(fault(&begins(Kind::Lstm, false, 3), &|_| {}), arity(3, 4));
    let rnn = Kind::Rnn(Activation::Tanh);
    assert_eq!(fault(&begins(rnn, false, 2), &|_| {}), arity(2, 3));
}
