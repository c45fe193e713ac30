//! Metric math: numbers, metrics by id, the four operations and parentheses.

use anyhow::{Context as _, bail, ensure};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Number(f64),
    /// The id of a metric.
    Metric(String),
    Operation(char, Box<(Expression, Expression)>),
}

impl Expression {
    /// Parses an expression.
    pub(super) fn parse(text: &str) -> anyhow::Result<Expression> {
        let mut tokens = tokens(text)?;
        tokens.reverse();
        let expression = sum(&mut tokens)?;
        ensure!(tokens.is_empty(), "not known from {:?} on", tokens.last());
        Ok(expression)
    }

    /// Returns the ids of the metrics.
    pub(super) fn metrics(&self) -> Vec<&str> {
        match self {
            Expression::Number(_) => Vec::new(),
            Expression::Metric(id) => vec![id],
            Expression::Operation(_, both) => {
                let mut ids = both.0.metrics();
                ids.extend(both.1.metrics());
                ids
            }
        }
    }

    /// Returns the value for a period. Returns `None` if a metric has none, or after a division by
    /// zero, which has no result (DOC, `CloudWatch` user guide, "Metric math": such a time is
    /// missing).
    pub(super) fn value(&self, metric: &impl Fn(&str) -> Option<f64>) -> Option<f64> {
        match self {
            Expression::Number(number) => Some(*number),
            Expression::Metric(id) => metric(id),
            Expression::Operation(operator, both) => {
                let (one, other) = (both.0.value(metric)?, both.1.value(metric)?);
                let value = match operator {
                    '+' => one + other,
                    '-' => one - other,
                    '*' => one * other,
                    _ => one / other,
                };
                Some(value).filter(|value| value.is_finite())
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Name(String),
    Sign(char),
}

fn tokens(text: &str) -> anyhow::Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let of = |belongs: fn(char) -> bool| {
            let end = rest.find(|letter| !belongs(letter));
            rest.split_at(end.unwrap_or(rest.len()))
        };
        let after = if first.is_ascii_digit() {
            let (number, after) = of(|letter| letter.is_ascii_digit() || letter == '.');
            tokens.push(Token::Number(number.parse().context("a number")?));
            after
        } else if first.is_ascii_lowercase() {
            // DOC: an id begins with a lower-case letter. Functions are in upper case.
            let (name, after) = of(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            tokens.push(Token::Name(name.to_owned()));
            after
        } else if "+-*/()".contains(first) {
            tokens.push(Token::Sign(first));
            &rest[1..]
        } else {
            bail!("{rest:?} is not known in an expression");
        };
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn sum(tokens: &mut Vec<Token>) -> anyhow::Result<Expression> {
    operations(tokens, &['+', '-'], |tokens| {
        operations(tokens, &['*', '/'], single)
    })
}

fn operations(
    tokens: &mut Vec<Token>,
    operators: &[char],
    next: impl Fn(&mut Vec<Token>) -> anyhow::Result<Expression>,
) -> anyhow::Result<Expression> {
    let mut expression = next(tokens)?;
    while let Some(Token::Sign(sign)) = tokens.last().cloned()
        && operators.contains(&sign)
    {
        tokens.pop();
        let other = next(tokens)?;
        expression = Expression::Operation(sign, Box::new((expression, other)));
    }
    Ok(expression)
}

fn single(tokens: &mut Vec<Token>) -> anyhow::Result<Expression> {
    match tokens.pop().context("the expression ends too early")? {
        Token::Number(number) => Ok(Expression::Number(number)),
        Token::Name(name) => Ok(Expression::Metric(name)),
        Token::Sign('(') => {
            let inner = sum(tokens)?;
            ensure!(tokens.pop() == Some(Token::Sign(')')), "a ( without its )");
            Ok(inner)
        }
        other @ Token::Sign(_) => bail!("{other:?} where a value should be"),
    }
}
