//! The API from outside: every endpoint, who may use it, and what it says to bad input.

#[path = "../support/app.rs"]
mod app;

mod accounts;
mod audit;
mod cameras;
mod devices;
mod employees;
mod enrollment;
mod jobs;
mod limits;
mod openapi;
mod origins;
mod pages;
mod pictures;
mod problems;
mod punches;
mod recognition;
mod roles;
mod secrets;
mod service;
