// Package deps has no code, only a test that the packages depend on each other
// in one direction: agent and aggregator on pkg, e2e on everything, nothing
// back. That is why no package needs to hide in an internal folder.
package deps
