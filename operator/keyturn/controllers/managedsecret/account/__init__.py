"""The account at a database server that a ManagedSecret owns: steps there, and probes of the published credential.

Modules
    change        one step: started as a background job behind a fence, recorded after its effect was observed
    operation     what a step does at the server: claim the account, set passwords, prove and refuse logins
    probe         logins with the published credential, one per interval
    memory        the operation in progress, last failure and last probe of each account; which servers are down
    problems      Wait or Stalled for each error

Imports: `controllers.managedsecret.secret_reads`, and what controllers may import.
"""
