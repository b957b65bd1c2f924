//! Special functions for the statistics: gamma, digamma, incomplete beta, quantiles of Student's t.
//!
//! Invariant: for documented arguments, results are finite with a relative error of about 1e-13, unless a function
//! states otherwise. Other arguments give NaN.

use std::f64::consts::PI;

/// `ln Gamma(x)` for `x > 0`.
///
/// Stirling's series above 10, reached by the recurrence `Gamma(x + 1) = x Gamma(x)`. Source: Abramowitz and Stegun,
/// *Handbook of Mathematical Functions*, 6.1.15 and 6.1.41.
#[must_use]
pub(crate) fn ln_gamma(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    let (mut x, mut product) = (x, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0
                    - square
                        * (1.0 / 1_260.0
                            - square * (1.0 / 1_680.0 - square * (1.0 / 1_188.0 - square * 691.0 / 360_360.0)))));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + series - product.ln()
}

/// `psi(x)`, the derivative of `ln Gamma`, for `x > 0`.
///
/// Asymptotic series above 10, reached by `psi(x + 1) = psi(x) + 1/x`. Source: Abramowitz and Stegun, 6.3.5 and 6.3.18.
#[must_use]
pub(crate) fn digamma(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = square
        * (1.0 / 12.0
            - square
                * (1.0 / 120.0
                    - square
                        * (1.0 / 252.0 - square * (1.0 / 240.0 - square * (1.0 / 132.0 - square * 691.0 / 32_760.0)))));
    sum + x.ln() - 0.5 / x - series
}

/// `ln Gamma_d(x)`, the multivariate gamma function of dimension `d`, for `x > (d - 1) / 2`.
///
/// Source: Bishop, *Pattern Recognition and Machine Learning*, 2006, (B.79).
#[must_use]
pub(crate) fn ln_gamma_of_dimension(dimension: usize, x: f64) -> f64 {
    let d = dimension as f64;
    let sum: f64 = (0..dimension).map(|i| ln_gamma(x - i as f64 / 2.0)).sum();
    d * (d - 1.0) / 4.0 * PI.ln() + sum
}

/// The regularised incomplete beta function `I_x(a, b)` for `a, b > 0` and `x` in `[0, 1]`.
///
/// Continued fraction 26.5.8 of Abramowitz and Stegun, evaluated by Lentz's method, on the side where it converges
/// fast.
#[must_use]
pub(crate) fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&x)) {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const STEPS_MAX: u32 = 10_000;
    let guard = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let (mut c, mut d) = (1.0, 1.0 / guard(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for step in 1..STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// Cumulative distribution function of Student's t with `freedom > 0` degrees of freedom.
#[must_use]
pub(crate) fn student_t_cdf(t: f64, freedom: f64) -> f64 {
    let tail = 0.5 * incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// Quantile of Student's t with `freedom > 0` degrees of freedom, for a `probability` in (0, 1).
///
/// Computed by bisection of the tail, with a relative error of 1e-10.
#[must_use]
pub(crate) fn student_t_quantile(probability: f64, freedom: f64) -> f64 {
    if !(probability > 0.0 && probability < 1.0 && freedom > 0.0) {
        return f64::NAN;
    }
    if probability == 0.5 {
        return 0.0;
    }
    let tail = probability.min(1.0 - probability);
    let above = |t: f64| student_t_cdf(-t, freedom) > tail;
    let (mut low, mut high) = (0.0, 1.0);
    while above(high) && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if above(middle) {
            low = middle;
        } else {
            high = middle;
        }
        if high - low <= 1e-11 * high {
            break;
        }
    }
    let t = 0.5 * (low + high);
    if probability < 0.5 { -t } else { t }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} is not {expected}");
    }

    /// Values from the tables of Abramowitz and Stegun, and closed forms.
    #[test]
    fn gamma_and_digamma_have_their_known_values() {
        near(ln_gamma(0.5), 0.5 * PI.ln(), 1e-14);
        near(ln_gamma(1.0), 0.0, 1e-14);
        near(ln_gamma(11.0), 3_628_800_f64.ln(), 1e-14);
        // -ln x - gamma x + (pi x)^2 / 12, the beginning of the series around 0.
        near(ln_gamma(1e-5), 1e5_f64.ln() - 0.577_215_664_9e-5 + (PI * 1e-5).powi(2) / 12.0, 1e-14);
        near(digamma(1.0), -0.577_215_664_901_532_9, 1e-14);
        near(digamma(0.5), -1.963_510_026_021_423_5, 1e-14);
        near(digamma(1e-5), -1e5 - 0.577_199_215_4, 1e-12);
        near(ln_gamma_of_dimension(1, 3.3), ln_gamma(3.3), 1e-14);
        near(ln_gamma_of_dimension(2, 3.0), 0.5 * PI.ln() + ln_gamma(3.0) + ln_gamma(2.5), 1e-14);
        assert!(ln_gamma(0.0).is_nan() && digamma(-1.0).is_nan());
    }

    #[test]
    fn quantiles_of_t_are_those_of_the_tables() {
        // Two-sided 95 %: the table of any textbook; 1 and 2 degrees of freedom have closed forms.
        near(student_t_quantile(0.975, 1.0), (0.475 * PI).tan(), 1e-9);
        near(student_t_quantile(0.975, 2.0), 0.95 * (2.0 / (1.0 - 0.95 * 0.95_f64)).sqrt(), 1e-9);
        for (freedom, expected) in [(5.0, 2.570_582), (10.0, 2.228_139), (30.0, 2.042_272), (1e7, 1.959_964)] {
            near(student_t_quantile(0.975, freedom), expected, 1e-6);
            near(student_t_quantile(0.025, freedom), -expected, 1e-6);
        }
        assert_eq!(student_t_quantile(0.5, 3.0), 0.0);
        assert!(student_t_quantile(1.0, 3.0).is_nan());
    }

    #[test]
    fn a_quantile_undoes_the_distribution() {
        for freedom in [0.7, 1.0, 3.0, 29.5, 1e4] {
            for t in [-7.0, -1.0, -1e-3, 0.2, 2.5, 12.0] {
                let probability = student_t_cdf(t, freedom);
                if probability < 1.0 - 1e-9 {
                    near(student_t_quantile(probability, freedom), t, 1e-6);
                }
            }
        }
    }
}
