//! The meta gradient against PyTorch's double backward and against central differences in rho.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use creamery_fixtures::{Fixture, on_each_device, relative, space, values};
use creamery_nn::{Device, Norm, Subnet, SuperNet, loss};
use creamery_search::{
    Entry, Examples, Matching, MetaNetwork, choose, rho_gradient, sigmoid, taught_targets,
};
use creamery_space::Cost;

struct Case {
    fixture: Fixture,
    student: Subnet,
    train: Examples,
    held_out: Examples,
    teacher: Tensor<2>,
}

fn case(device: &Device) -> Case {
    let fixture = Fixture::read("meta_gradient");
    let mut supernet = SuperNet::new(&space(), 3, 7, 0, device).unwrap();
    // The fixture has the candidates of both paths only; the others keep their own values.
    let mut state = supernet.state();
    let given = fixture.under("param");
    for tensor in &given {
        let own = state.iter_mut().find(|t| t.name == tensor.name).unwrap();
        *own = tensor.clone();
    }
    supernet.load(state).unwrap();
    let student = supernet.path(&fixture.architecture("student")).unwrap();
    let teacher = supernet.path(&fixture.architecture("teacher")).unwrap();
    let smoothing = fixture.number("label_smoothing");
    let examples = |x: &str, y: &str| Examples {
        images: fixture.images(x, device),
        targets: loss::smoothed_targets(&fixture.labels[y], 7, smoothing, device),
    };
    let (train, held_out) = (examples("x", "y"), examples("x_val", "y_val"));
    let teacher = softmax(teacher.forward(train.images.clone(), Norm::Batch).logits, 1);
    Case {
        student,
        train,
        held_out,
        teacher,
        fixture,
    }
}

/// Gradient of the distillation loss at the student's weights.
fn gradient(case: &Case, rho: f64) -> (f64, Vec<Tensor<1>>) {
    let tracked = case.student.tracked();
    let logits = tracked
        .net()
        .forward(case.train.images.clone(), Norm::Batch)
        .logits;
    let targets = taught_targets(case.train.targets.clone(), case.teacher.clone(), rho);
    let loss = loss::cross_entropy(logits, targets);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    (value, tracked.gradients(&loss))
}

#[test]
fn the_whole_meta_step_is_that_of_pytorchs_double_backward() {
    on_each_device(check_meta_step);
}

fn check_meta_step(device: &Device) {
    let case = case(device);
    let fixture = &case.fixture;
    let output = case
        .student
        .forward(fixture.images("anchors", device), Norm::Batch);
    let phi = values(softmax(output.logits, 1));
    assert!(relative(&phi, &fixture.tensors["phi_student"].values) < 1e-4);

    let theta = &fixture.tensors["theta/weight"].values;
    let meta = MetaNetwork {
        weight: theta.iter().map(|w| f64::from(*w)).collect(),
        bias: f64::from(fixture.tensors["theta/bias"].values[0]),
    };
    let entries: Vec<Entry> = fixture.tensors["phi_board"]
        .values
        .chunks(phi.len())
        .map(|phi| Entry {
            architecture: fixture.architecture("teacher"),
            score: 0.0,
            cost: Cost::default(),
            phi: phi.to_vec(),
            phi_step: 0,
            entered: 0,
            taught: 0,
        })
        .collect();
    for (entry, expected) in entries.iter().zip(fixture.numbers("g")) {
        assert!((meta.logit(&phi, &entry.phi) / expected - 1.0).abs() < 1e-4);
    }
    let mut rng = creamery_rng::stream(0, "test", 0);
    let choice = choose(Matching::Meta, &phi, &entries, None, &meta, 0.5, &mut rng).unwrap();
    assert_eq!(choice.index as f64, fixture.number("k_star"));
    assert!((choice.rho - fixture.number("rho")).abs() < 1e-5);
    assert_eq!(
        choice.rho,
        sigmoid(meta.logit(&phi, &entries[choice.index].phi))
    );

    let teacher = values(case.teacher.clone());
    assert!(relative(&teacher, &fixture.tensors["teacher_softmax"].values) < 1e-4);
    let (value, gradient) = gradient(&case, choice.rho);
    assert!((value / fixture.number("loss") - 1.0).abs() < 1e-4);
    let found = rho_gradient(
        &case.student,
        &gradient,
        &case.train,
        case.teacher.clone(),
        &case.held_out,
        fixture.number("xi"),
    );
    assert!((found.loss / fixture.number("loss_val") - 1.0).abs() < 1e-4);
    let expected = fixture.number("dloss_val_drho");
    assert!(
        (found.d_rho / expected - 1.0).abs() < 1e-3,
        "{} {expected}",
        found.d_rho
    );

    let theta = meta.gradient(&phi, &entries[choice.index].phi, choice.rho, found.d_rho);
    let weight: Vec<f32> = theta.weight.iter().map(|w| *w as f32).collect();
    assert!(relative(&weight, &fixture.tensors["grad_theta/weight"].values) < 1e-3);
    let bias = f64::from(fixture.tensors["grad_theta/bias"].values[0]);
    assert!(
        (theta.bias / bias - 1.0).abs() < 1e-3,
        "{} {bias}",
        theta.bias
    );
}

/// L_val as a function of rho, through the inner step, by central differences. The logits are f32, so the
/// loss is summed in f64 and the differences are wide; extrapolation takes the curvature out.
#[test]
fn the_derivative_in_rho_is_that_of_central_differences() {
    let case = case(&Device::flex());
    let (rho, xi) = (0.6, 0.02);
    let targets = values(case.held_out.targets.clone());
    let held_out = |rho: f64| {
        let mut inner = case.student.clone();
        let (_, gradient) = gradient(&case, rho);
        for (layer, g) in inner.layers_mut().zip(gradient) {
            layer.params = layer.params.clone() - g * xi;
        }
        let logits = inner
            .forward(case.held_out.images.clone(), Norm::Batch)
            .logits;
        let logits = values(logits);
        let rows = logits.chunks(7).zip(targets.chunks(7));
        let losses = rows.map(|(row, targets)| {
            let sum: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
            let terms = row.iter().zip(targets);
            terms
                .map(|(z, t)| f64::from(*t) * (sum.ln() - f64::from(*z)))
                .sum::<f64>()
        });
        losses.sum::<f64>() / 6.0
    };
    let (_, gradient) = gradient(&case, rho);
    let teacher = case.teacher.clone();
    let found = rho_gradient(
        &case.student,
        &gradient,
        &case.train,
        teacher,
        &case.held_out,
        xi,
    );
    let central = |h: f64| (held_out(rho + h) - held_out(rho - h)) / (2.0 * h);
    // Richardson's extrapolation, twice.
    let (a, b, c) = (central(0.1), central(0.2), central(0.4));
    let (ab, bc) = ((4.0 * a - b) / 3.0, (4.0 * b - c) / 3.0);
    let numeric = (16.0 * ab - bc) / 15.0;
    assert!(
        (found.d_rho / numeric - 1.0).abs() < 1e-3,
        "{} {numeric}",
        found.d_rho
    );
}

/// No derivative where the teacher says the same as the labels: KD and CE are then one.
#[test]
fn a_teacher_that_repeats_the_labels_has_no_influence() {
    let case = case(&Device::flex());
    let (_, gradient) = gradient(&case, 0.5);
    let targets = case.train.targets.clone();
    let found = rho_gradient(
        &case.student,
        &gradient,
        &case.train,
        targets,
        &case.held_out,
        0.05,
    );
    assert_eq!(found.d_rho.abs(), 0.0);
}
