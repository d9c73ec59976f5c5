// npm's oidc-provider with one client. Arguments: the module, port, address to lead back to, and a file with the
// groups of each login, which is read again at each sign-in. Its pages take any password.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

const [module, port, redirect, groups] = process.argv.slice(2);
const { default: Provider } = await import(module);
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: "status",
    client_secret: "a secret: of + the client",
    redirect_uris: [redirect],
    grant_types: ["authorization_code"],
    response_types: ["code"],
  }],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" }] },
  cookies: { keys: [randomUUID()] },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username"], groups: ["groups"] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, login) => ({
    accountId: login,
    claims: () => ({
      sub: login,
      preferred_username: login,
      email: `${login}@example.org`,
      email_verified: true,
      groups: JSON.parse(readFileSync(groups))[login],
    }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
