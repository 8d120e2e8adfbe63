/** Stands in the executable for packages that a dependency loads and Sandpit never calls. */
module.exports = {};
