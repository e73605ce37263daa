//! Tests of the API: every endpoint, its permissions, and its responses to bad input.

#[path = "../support/app.rs"]
mod app;

mod accounts;
mod attendance;
mod audit;
#[path = "../support/authority.rs"]
mod authority;
mod calendars;
mod cameras;
mod credentials;
mod devices;
mod employees;
mod encryption;
mod engine;
mod enrollment;
mod entitlements;
mod exports;
mod guesses;
mod imports;
mod invitations;
mod jobs;
mod kiosk_enrollment;
mod limits;
mod mail;
mod managed_accounts;
mod me;
mod mqtt;
#[path = "../support/node.rs"]
mod node;
mod openapi;
mod origins;
mod pages;
mod pictures;
mod places;
mod plans;
#[path = "../support/ports.rs"]
mod ports;
mod problems;
mod punches;
#[path = "../support/receiver.rs"]
mod receiver;
mod recognition;
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod records;
mod refused_punches;
mod roles;
mod scopes;
#[path = "../support/scripted.rs"]
#[allow(
    dead_code,
    reason = "not every test target scripts pictures and models"
)]
mod scripted;
mod second_factors;
mod secrets;
mod service;
mod single_sign_on;
mod sites;
#[path = "../support/skip.rs"]
mod skip;
mod stories;
mod tokens;
mod uploads;
mod webhooks;
