// A SCIM service provider for integration tests: scimmy parses, checks and
// answers, this file is the store in memory behind it. It listens on loopback,
// at the port that its first argument names, and wants the bearer token that
// is in the environment variable SCIM_TOKEN.
import {randomUUID} from "node:crypto";
import express from "express";
import SCIMMYRouters, {SCIMMY} from "scimmy-routers";

const port = Number(process.argv[2]);
const token = process.env.SCIM_TOKEN;

// Strings in filters are JSON's, and scimmy leaves their escapes as they are.
const unescaped = (text) => {
    try {
        return JSON.parse(`"${text}"`);
    } catch {
        return text;
    }
};

const fold = (value) => (typeof value === "string" ? value.toLowerCase() : value);

// Serves the filters that a connector sends: one attribute that equals a value.
function matches(filter, resource) {
    if (filter === undefined) return true;
    return filter.some((alternative) => Object.entries(alternative).every(([name, [op, value]]) => {
        if (op !== "eq") throw new SCIMMY.Types.Error(400, "invalidFilter", `${op} is not served`);
        const [have, want] = [resource[name], typeof value === "string" ? unescaped(value) : value];
        return name === "externalId" ? have === want : fold(have) === fold(want);
    }));
}

// Keeps the resources of one type. The attribute unique must differ, whatever
// the case, or may be undefined.
function store(unique) {
    const resources = new Map();
    const found = (id) => {
        if (!resources.has(id)) throw new SCIMMY.Types.Error(404, null, "Resource not found");
        return resources.get(id);
    };
    const check = (have, {ifMatch}) => {
        if (ifMatch !== undefined && ifMatch !== "*" && ifMatch !== have.meta.version) {
            throw new SCIMMY.Types.Error(412, null, "The version is another by now");
        }
    };
    return {
        egress: (resource) => {
            if (resource.id) return found(resource.id);
            return [...resources.values()].filter((r) => matches(resource.filter, r));
        },
        ingress: (resource, instance, context) => {
            const have = resource.id ? found(resource.id) : undefined;
            if (have) check(have, context);
            const {id: _id, meta: _meta, ...attributes} = JSON.parse(JSON.stringify(instance));
            const clash = unique && [...resources.values()].find((r) => r !== have && fold(r[unique]) === fold(attributes[unique]));
            if (clash) throw new SCIMMY.Types.Error(409, "uniqueness", `${unique} is taken`);
            const now = new Date();
            const stored = {
                ...attributes,
                id: have?.id ?? randomUUID(),
                meta: {created: have?.meta.created ?? now, lastModified: now, version: `W/"${randomUUID()}"`},
            };
            resources.set(stored.id, stored);
            return stored;
        },
        degress: (resource, context) => {
            check(found(resource.id), context);
            resources.delete(resource.id);
        },
    };
}

const {User, Group} = SCIMMY.Resources;
User.extend(SCIMMY.Schemas.EnterpriseUser, false);
SCIMMY.Resources.declare(User, store("userName")).declare(Group, store(undefined));
SCIMMY.Config.set({etag: true, filter: {maxResults: 1000}});

const routers = new SCIMMYRouters({
    type: "bearer",
    handler: (request) => {
        if (request.header("authorization") !== `Bearer ${token}`) throw new Error("Not authorized");
    },
    context: (request) => ({ifMatch: request.header("if-match")}),
});
SCIMMY.Config.set({patch: true, filter: true, bulk: true, etag: true});

// Writes are done one after the other, as those of a database are: between the
// read and the write of a PATCH there is no other.
let last = Promise.resolve();
const inOrder = (request, response, next) => {
    if (request.method === "GET") return next();
    const before = last;
    last = new Promise((done) => response.once("close", done));
    before.then(() => next());
};

// The version of a resource is its entity tag.
const tagged = (request, response, next) => {
    const send = response.send.bind(response);
    response.send = (body) => {
        if (body?.meta?.version) response.set("ETag", body.meta.version);
        return send(body);
    };
    next();
};

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.use("/scim/v2", inOrder, tagged, routers);
const server = app.listen(port, "127.0.0.1");
process.once("SIGTERM", () => {
    server.close();
    server.closeAllConnections();
});
