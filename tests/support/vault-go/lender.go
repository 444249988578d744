package main

import (
	"context"

	uuid "github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// lender is an engine that makes a login at each read and lends it, as those of databases do. Who lives is listed.
func lender(ctx context.Context, config *logical.BackendConfig) (logical.Backend, error) {
	login := &framework.Secret{Type: "login", Revoke: die}
	backend := &framework.Backend{
		BackendType: logical.TypeLogical,
		Secrets:     []*framework.Secret{login},
		Paths: []*framework.Path{
			{
				Pattern:   "creds/" + framework.GenericNameRegex("role"),
				Fields:    map[string]*framework.FieldSchema{"role": {Type: framework.TypeString}},
				Callbacks: map[logical.Operation]framework.OperationFunc{logical.ReadOperation: lend(login)},
			},
			{
				Pattern:   "live/?$",
				Callbacks: map[logical.Operation]framework.OperationFunc{logical.ListOperation: list},
			},
		},
	}
	if err := backend.Setup(ctx, config); err != nil {
		return nil, err
	}
	login.Renew = framework.LeaseExtend(0, 0, backend.System())
	return backend, nil
}

func lend(login *framework.Secret) framework.OperationFunc {
	return func(ctx context.Context, request *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
		name, err := uuid.GenerateUUID()
		if err != nil {
			return nil, err
		}
		password, err := uuid.GenerateUUID()
		if err != nil {
			return nil, err
		}
		if err := request.Storage.Put(ctx, &logical.StorageEntry{Key: "live/" + name, Value: []byte{}}); err != nil {
			return nil, err
		}
		data := map[string]interface{}{"username": name, "password": password}
		return login.Response(data, map[string]interface{}{"username": name}), nil
	}
}

func die(ctx context.Context, request *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	name := request.Secret.InternalData["username"].(string)
	return nil, request.Storage.Delete(ctx, "live/"+name)
}

func list(ctx context.Context, request *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := request.Storage.List(ctx, "live/")
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(names), nil
}
