//! `rotationctl` against the sandbox, which runs the real function.

mod account;
mod adopting;
mod arguments;
mod changing;
mod configuring;
mod doctor;
mod doctor_elsewhere;
mod doctor_keys;
mod doctor_login;
mod doctor_rights;
mod doctor_test;
mod doctor_watch;
mod drill;
mod elsewhere;
mod explaining;
mod fleet_account;
mod fleet_changing;
mod fleet_checking;
mod fleet_listing;
mod fleet_many;
mod fleet_moving_over;
mod fleet_page;
mod fleet_rights;
mod leaking;
mod naming;
mod program;
mod reading;
mod rights;
mod rotating;
mod stopping;
mod values;

#[path = "../support/mod.rs"]
mod support;
