package main

import (
	"maps"
	"slices"

	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// engines is the catalog of what can be mounted; Vault's own brings forty more, and their dependencies.
type engines map[consts.PluginType]map[string]logical.Factory

var known = engines{
	consts.PluginTypeSecrets:    {"kv": kv.Factory, "lender": lender},
	consts.PluginTypeCredential: {"approle": approle.Factory, "kubernetes": kubernetes.Factory},
}

func (e engines) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, found := e[kind][name]
	if !found {
		return nil, false
	}
	return func() (interface{}, error) { return factory, nil }, true
}

func (e engines) Keys(kind consts.PluginType) []string {
	return slices.Sorted(maps.Keys(e[kind]))
}

func (e engines) Contains(name string, kind consts.PluginType) bool {
	_, found := e[kind][name]
	return found
}

func (e engines) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, e.Contains(name, kind)
}

func (e engines) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
