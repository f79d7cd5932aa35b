//! Local numbering: a definition's own parameters, in the order of their first use.

use crate::data::{Expr, Operand};

/// For each of a definition's parameters, which of the referrer's (at the root: of the query's) it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Local(pub Vec<usize>);

impl Local {
    /// The own number of the referrer's parameter.
    pub fn number(&mut self, outer: usize) -> usize {
        self.0.iter().position(|have| *have == outer).unwrap_or_else(|| {
            self.0.push(outer);
            self.0.len() - 1
        })
    }

    /// The own numbers of a part's parameters, whose local numbering is `inner`.
    pub fn numbers(&mut self, inner: &Local) -> Vec<usize> {
        inner.0.iter().map(|outer| self.number(*outer)).collect()
    }

    /// Renumbers the parameters of a condition.
    pub fn expr(&mut self, expr: &mut Expr) {
        match expr {
            Expr::All(all) | Expr::Any(all) => all.iter_mut().for_each(|one| self.expr(one)),
            Expr::Not(not) => self.expr(not),
            Expr::IsNull(_) => {}
            Expr::Compare { with, .. }
            | Expr::In { list: with, .. }
            | Expr::Like { pattern: with, .. }
            | Expr::Contains { with, .. }
            | Expr::Overlaps { with, .. } => {
                if let Operand::Param(param) = with {
                    *param = self.number(*param);
                }
            }
        }
    }
}
