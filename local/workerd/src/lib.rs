//! Runs the Worker in workerd: ES modules, configuration, process.
