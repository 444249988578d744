package main

import (
	"slices"

	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// engines is the catalog of what can be mounted; Vault's own brings forty more, and their dependencies.
type engines map[string]logical.Factory

var known = engines{"kv": kv.Factory}

func (e engines) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, found := e[name]
	if !found || kind != consts.PluginTypeSecrets {
		return nil, false
	}
	return func() (interface{}, error) { return factory, nil }, true
}

func (e engines) Keys(kind consts.PluginType) []string {
	if kind != consts.PluginTypeSecrets {
		return nil
	}
	var names []string
	for name := range e {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (e engines) Contains(name string, kind consts.PluginType) bool {
	return slices.Contains(e.Keys(kind), name)
}

func (e engines) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, e.Contains(name, kind)
}

func (e engines) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
