//! A small map from type to value: facts that plugins leave for later plugins, and the memory of each plugin for one request.

use std::any::{Any, TypeId};

use smallvec::SmallVec;

/// Typed values of one request, at most one of each type. Searched linearly: a request has a handful.
#[derive(Default)]
pub(crate) struct Facts(SmallVec<[(TypeId, Box<dyn Any + Send + Sync>); 2]>);

impl Facts {
    pub(crate) fn put<T: Send + Sync + 'static>(&mut self, fact: T) {
        let key = TypeId::of::<T>();
        match self.0.iter_mut().find(|(found, _)| *found == key) {
            Some((_, slot)) => *slot = Box::new(fact),
            None => self.0.push((key, Box::new(fact))),
        }
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        let key = TypeId::of::<T>();
        self.0.iter().find(|(found, _)| *found == key).and_then(|(_, fact)| fact.downcast_ref())
    }
}

/// What each step remembers between the hooks of one request; made when first asked for, so that no memory costs nothing.
#[derive(Default)]
pub(crate) struct States(SmallVec<[(usize, Box<dyn Any + Send + Sync>); 2]>);

impl States {
    /// The memory of step number `step`, made with its default on the first call. A step that asks for another type than
    /// before starts afresh with the new one.
    pub(crate) fn of<T: Default + Send + Sync + 'static>(&mut self, step: usize) -> &mut T {
        let wanted = TypeId::of::<T>();
        let place = self.0.iter().position(|(owner, state)| *owner == step && (**state).type_id() == wanted);
        let place = place.unwrap_or_else(|| {
            self.0.push((step, Box::<T>::default()));
            self.0.len() - 1
        });
        match self.0.get_mut(place).and_then(|(_, state)| state.downcast_mut()) {
            Some(state) => state,
            None => unreachable!("the type was compared or just put there"),
        }
    }

    /// As [`States::of`], without making anything.
    pub(crate) fn peek<T: 'static>(&self, step: usize) -> Option<&T> {
        self.0.iter().filter(|(owner, _)| *owner == step).find_map(|(_, state)| state.downcast_ref())
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Facts({})", self.0.len())
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "States({})", self.0.len())
    }
}
