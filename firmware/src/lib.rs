//! Boards and apps.
#![no_std]
