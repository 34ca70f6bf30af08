// Package agentstest holds the contract of agents.Transport as a test, and
// agents for it to ask.
package agentstest
